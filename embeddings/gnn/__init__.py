"""Graph neural networks, one a file."""

import warnings

# importing PyG sets off a deprecation inside torch, about which a user can do nothing
warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
