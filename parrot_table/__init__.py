"""What knows the table of `parrot_envs` and is for `parrot_wrapper` one plug-in among others.

The encoder "structured", whose features say where gripper, container and objects are, and the
mixture "redirected", which changes such features. Both are found by name, through the registries of
`parrot_wrapper`; nothing here needs PyBullet.
"""
