using Dactyl.Protocol;
using UnityEngine;
using UnityEngine.Rendering;

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

        /// <summary>Of 16 values, row by row.</summary>
        public static Matrix4x4 Matrix(float[] values)
        {
            var matrix = new Matrix4x4();
            for (int row = 0; row < 4; row++)
                for (int column = 0; column < 4; column++) matrix[row, column] = values[4 * row + column];
            return matrix;
        }

        public static Vector3[] Vertices(float[] values)
        {
            var vertices = new Vector3[values.Length / 3];
            for (int i = 0; i < vertices.Length; i++) vertices[i] = Position(values, 3 * i);
            return vertices;
        }

        /// <summary>Of a part, or of a shape without texture coordinates.</summary>
        public static Mesh Mesh(ScenePack.Part source)
        {
            var mesh = new Mesh();
            mesh.indexFormat = IndexFormat.UInt32; // before the triangles: more than 65,535 vertices are possible
            mesh.vertices = Vertices(source.Positions);
            mesh.normals = Vertices(source.Normals);
            if (source.Uv != null) mesh.uv = Uv(source.Uv);
            mesh.triangles = MjFrame.Winding(source.Corners);
            mesh.RecalculateBounds();
            return mesh;
        }

        /// <summary>Makes a thing that has a mesh visible.</summary>
        public static Renderer AddRenderer(GameObject thing, Material material, bool castsShadow)
        {
            var renderer = thing.AddComponent<MeshRenderer>();
            renderer.sharedMaterial = material;
            renderer.shadowCastingMode = castsShadow ? ShadowCastingMode.On : ShadowCastingMode.Off;
            renderer.receiveShadows = true;
            renderer.lightProbeUsage = LightProbeUsage.Off;
            renderer.reflectionProbeUsage = ReflectionProbeUsage.Simple;
            return renderer;
        }

        public static Vector2[] Uv(float[] values)
        {
            var uv = new Vector2[values.Length / 2];
            for (int i = 0; i < uv.Length; i++) uv[i] = new Vector2(values[2 * i], values[2 * i + 1]);
            return uv;
        }
    }
}
