using System;
using Dactyl.Protocol;
using UnityEngine;

namespace Dactyl.Stage
{
    /// <summary>
    /// One texture for the pictures of several samples, a row of cameras for each: reading it back stalls the graphics
    /// device, and does so once for all of them.
    /// </summary>
    public sealed class Atlas : IDisposable
    {
        const int k_MaxRows = 8, k_MaxHeight = 4096;

        readonly int m_Width, m_Height, m_Cameras, m_Msaa;
        readonly RenderTexture m_Target;
        readonly Texture2D m_Copy;
        readonly Camera m_Camera;
        byte[] m_Pixels;

        /// <summary>Samples that fit.</summary>
        public int Rows { get; }

        public Atlas(int width, int height, int cameras, int msaa)
        {
            m_Width = width;
            m_Height = height;
            m_Cameras = cameras;
            m_Msaa = msaa;
            Rows = Math.Max(1, Math.Min(k_MaxRows, k_MaxHeight / height));
            // sRGB: lighting is computed in linear values, and what is stored is encoded for the eye.
            m_Target = new RenderTexture(width * cameras, height * Rows, 24, RenderTextureFormat.ARGB32,
                RenderTextureReadWrite.sRGB) { antiAliasing = msaa, useMipMap = false };
            if (!m_Target.Create())
                throw new InvalidOperationException($"no texture of {width * cameras} x {height * Rows} on this device");
            m_Copy = new Texture2D(width * cameras, height * Rows, TextureFormat.RGB24, false);

            m_Camera = new GameObject("Dactyl camera").AddComponent<Camera>();
            m_Camera.enabled = false; // it draws when told to
            m_Camera.targetTexture = m_Target;
            m_Camera.clearFlags = CameraClearFlags.SolidColor;
            m_Camera.renderingPath = RenderingPath.Forward; // the path that has MSAA
            m_Camera.allowMSAA = true;
            m_Camera.allowHDR = false;
            m_Camera.useOcclusionCulling = false;
        }

        public bool Fits(RenderBatch batch)
        {
            return batch.Width == m_Width && batch.Height == m_Height && batch.Cameras.Count == m_Cameras
                && batch.Msaa == m_Msaa;
        }

        /// <summary>Draws one camera of a sample, whose scene is already set, into the row.</summary>
        public void Draw(RenderBatch batch, int sample, int camera, int row)
        {
            var values = batch.Cameras.Values;
            int at = batch.Cameras.At(sample, camera);
            m_Camera.transform.SetPositionAndRotation(
                Converted.Position(values, at + RenderBatch.Camera.Position),
                Converted.CameraRotation(values, at + RenderBatch.Camera.Quaternion));
            m_Camera.pixelRect = new Rect(camera * m_Width, row * m_Height, m_Width, m_Height);
            m_Camera.aspect = (float)m_Width / m_Height;
            m_Camera.fieldOfView = values[at + RenderBatch.Camera.FovyDeg]; // vertical, as in MuJoCo
            m_Camera.nearClipPlane = values[at + RenderBatch.Camera.Near];
            m_Camera.farClipPlane = values[at + RenderBatch.Camera.Far];
            m_Camera.backgroundColor =
                Converted.Color(batch.Frames.Values, batch.Frames.At(sample, 0) + RenderBatch.Frame.Background);
            m_Camera.Render();
        }

        /// <summary>Brings all rows to main memory.</summary>
        public void Read()
        {
            var before = RenderTexture.active;
            RenderTexture.active = m_Target;
            m_Copy.ReadPixels(new Rect(0, 0, m_Target.width, m_Target.height), 0, 0, false);
            RenderTexture.active = before;
            m_Pixels = m_Copy.GetRawTextureData();
        }

        public void Copy(int row, int camera, byte[] pixels, int offset)
        {
            Pictures.CopyTile(m_Pixels, m_Width * m_Cameras, camera * m_Width, row * m_Height, m_Width, m_Height, pixels,
                offset);
        }

        public void Dispose()
        {
            m_Camera.targetTexture = null;
            UnityEngine.Object.Destroy(m_Camera.gameObject);
            UnityEngine.Object.Destroy(m_Copy);
            m_Target.Release();
            UnityEngine.Object.Destroy(m_Target);
        }
    }
}
