"""What the router is compared with: other routers' algorithms by their sources, and one that knows all."""
