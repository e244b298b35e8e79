"""Fast PyBullet manipulation environments from small images, registered in Gymnasium.

Example:
    >>> import gymnasium as gym, parrot_envs
    >>> env = gym.make("ParrotPickPlace-v0")
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape, info["target"]
    ((48, 48, 3), ['can'])
    >>> env.close()
"""

from parrot_envs.registration import ENV_IDS, register_all

register_all()

__all__ = ["ENV_IDS"]
