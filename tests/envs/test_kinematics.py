"""The closed-form kinematics against themselves and against PyBullet's."""

from __future__ import annotations

import numpy as np
import pybullet

from parrot_envs import kinematics
from parrot_envs.robot import TIP_HIGH, TIP_LOW, Robot
from parrot_envs.sim import Simulator


def test_inverse_then_forward_is_the_identity_within_reach() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        tip = rng.uniform(TIP_LOW, np.array(TIP_HIGH) - (0.06, 0.04, 0.0)).tolist()
        hand = kinematics.hand_axes(*rng.uniform(-0.2, 0.2, 2), rng.uniform(-1.2, 1.2))
        position, turned = kinematics.forward(kinematics.inverse(tip, hand))
        np.testing.assert_allclose(position, tip, atol=1e-9)
        np.testing.assert_allclose(turned, hand, atol=1e-9)


def test_forward_agrees_with_the_urdf() -> None:
    sim = Simulator()
    robot = Robot(sim)
    rng = np.random.default_rng(0)
    for joints in [robot._home_joints, *rng.uniform(-1.5, 1.5, (20, 6))]:
        for joint, angle in enumerate(joints):
            pybullet.resetJointState(robot._body, joint, angle, physicsClientId=sim.client)
        hand = pybullet.getLinkState(
            robot._body, 5, computeForwardKinematics=1, physicsClientId=sim.client
        )
        turned = np.array(pybullet.getMatrixFromQuaternion(hand[5])).reshape(3, 3)
        tip, axes = kinematics.forward(joints)
        np.testing.assert_allclose(np.transpose(axes), turned, atol=1e-6)
        np.testing.assert_allclose(
            tip, np.array(hand[4]) + kinematics.HAND * turned[:, 0], atol=1e-6
        )
    sim.close()


def test_out_of_reach_stays_finite() -> None:
    joints = kinematics.inverse([2.0, 0.0, 1.0], kinematics.hand_axes(0, 0, 0))
    assert np.isfinite(joints).all()
