using Dactyl.Protocol;
using UnityEngine;

namespace Dactyl.Stage
{
    /// <summary>Values off the wire as Unity's types, in Unity's frame.</summary>
    static class Converted
    {
        public static Vector3 Position(float[] values, int at)
        {
            MjFrame.Position(values, at, out float x, out float y, out float z);
            return new Vector3(x, y, z);
        }

        public static Quaternion Rotation(float[] values, int at)
        {
            MjFrame.Rotation(values, at, out float x, out float y, out float z, out float w);
            return new Quaternion(x, y, z, w);
        }

        public static Quaternion CameraRotation(float[] values, int at)
        {
            MjFrame.CameraRotation(values, at, out float x, out float y, out float z, out float w);
            return new Quaternion(x, y, z, w);
        }

        public static Quaternion DirectionRotation(float[] values, int at)
        {
            MjFrame.DirectionRotation(values, at, out float x, out float y, out float z, out float w);
            return new Quaternion(x, y, z, w);
        }

        public static Color Color(float[] values, int at)
        {
            return new Color(values[at], values[at + 1], values[at + 2], 1f);
        }

        public static Vector3[] Vertices(float[] values)
        {
            var vertices = new Vector3[values.Length / 3];
            for (int i = 0; i < vertices.Length; i++) vertices[i] = Position(values, 3 * i);
            return vertices;
        }

        public static Vector2[] Uv(float[] values)
        {
            var uv = new Vector2[values.Length / 2];
            for (int i = 0; i < uv.Length; i++) uv[i] = new Vector2(values[2 * i], values[2 * i + 1]);
            return uv;
        }
    }
}
