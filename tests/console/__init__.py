"""A package: what its tests share (scope "package") ends with the last of them."""
