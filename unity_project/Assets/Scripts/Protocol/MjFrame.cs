using System;

namespace Dactyl.Protocol
{
    /// <summary>
    /// MuJoCo's world (right-handed, z up, quaternions w x y z) to Unity's (left-handed, y up, x y z w). Swapping y and z
    /// mirrors the world, which turns the one handedness into the other.
    /// </summary>
    public static class MjFrame
    {
        const float k_HalfRoot = 0.70710678118654752f;

        public static void Position(float[] values, int at, out float x, out float y, out float z)
        {
            x = values[at];
            y = values[at + 2];
            z = values[at + 1];
        }

        /// <summary>Orientation of a body.</summary>
        public static void Rotation(float[] values, int at, out float x, out float y, out float z, out float w)
        {
            x = -values[at + 1];
            y = -values[at + 3];
            z = -values[at + 2];
            w = values[at];
        }

        /// <summary>
        /// Orientation of a camera: MuJoCo's looks along its own -z with +y up, Unity's along +z. After the swap of axes
        /// that is a quarter turn about x.
        /// </summary>
        public static void CameraRotation(float[] values, int at, out float x, out float y, out float z, out float w)
        {
            Rotation(values, at, out float qx, out float qy, out float qz, out float qw);
            x = k_HalfRoot * (qw + qx);
            y = k_HalfRoot * (qy + qz);
            z = k_HalfRoot * (qz - qy);
            w = k_HalfRoot * (qw - qx);
        }

        /// <summary>The shortest turn that takes Unity's forward (+z) into a direction of MuJoCo's world.</summary>
        public static void DirectionRotation(float[] values, int at, out float x, out float y, out float z, out float w)
        {
            Position(values, at, out float dx, out float dy, out float dz);
            double length = Math.Sqrt((double)dx * dx + (double)dy * dy + (double)dz * dz);
            x = y = z = 0;
            w = 1;
            if (length < 1e-9) return;
            double forward = 1 + dz / length;
            if (forward < 1e-9) // straight back: half a turn about any axis across
            {
                y = 1;
                w = 0;
                return;
            }
            // The axis is z cross d = (-dy, dx, 0); (sin, 1 + cos) is twice the half angle's pair, up to its length.
            double qx = -dy / length, qy = dx / length;
            double norm = Math.Sqrt(qx * qx + qy * qy + forward * forward);
            x = (float)(qx / norm);
            y = (float)(qy / norm);
            w = (float)(forward / norm);
        }

        /// <summary>Mirroring turns triangles inside out; this turns them back.</summary>
        public static int[] Winding(int[] corners)
        {
            var turned = (int[])corners.Clone();
            for (int i = 0; i + 2 < turned.Length; i += 3)
            {
                turned[i + 1] = corners[i + 2];
                turned[i + 2] = corners[i + 1];
            }
            return turned;
        }
    }
}
