using System;
using System.Collections.Generic;
using Dactyl.Protocol;
using UnityEngine;

namespace Dactyl.Stage
{
    /// <summary>
    /// One texture for the pictures of several samples: reading it back stalls the graphics device, and does so once for all
    /// that lie in it.
    /// </summary>
    public sealed class Atlas : IDisposable
    {
        readonly Mosaic m_Mosaic;
        readonly int m_Msaa;
        readonly RenderTexture m_Target;
        readonly Texture2D m_Copy;
        readonly Camera m_Camera;
        readonly List<Tile> m_Tiles = new List<Tile>(); // drawn and not read yet

        struct Tile
        {
            public int Left, Bottom, Width, Height, Offset;
        }

        public Atlas(RenderBatch batch)
        {
            m_Mosaic = new Mosaic(batch.Widths, batch.Heights);
            m_Msaa = batch.Msaa;
            int width = m_Mosaic.Width, height = m_Mosaic.Height;
            // sRGB: lighting is computed in linear values, and what is stored is encoded for the eye.
            m_Target = new RenderTexture(width, height, 24, RenderTextureFormat.ARGB32, RenderTextureReadWrite.sRGB)
            {
                antiAliasing = batch.Msaa, useMipMap = false,
            };
            if (!m_Target.Create())
                throw new InvalidOperationException($"no texture of {width} x {height} on this device");
            m_Copy = new Texture2D(width, height, TextureFormat.RGB24, false);

            m_Camera = new GameObject("Dactyl camera").AddComponent<Camera>();
            m_Camera.enabled = false; // it draws when told to
            m_Camera.targetTexture = m_Target;
            m_Camera.renderingPath = RenderingPath.Forward; // the path that has MSAA
            m_Camera.allowMSAA = true;
            m_Camera.allowHDR = false;
            m_Camera.useOcclusionCulling = false;
        }

        public bool Fits(RenderBatch batch)
        {
            return m_Mosaic.Fits(batch.Widths, batch.Heights) && batch.Msaa == m_Msaa;
        }

        /// <summary>
        /// Draws one camera of a sample, whose scene is already set. Its pixels will be in the bytes, from offset, after
        /// the next Read, which happens by itself when there is no room left.
        /// </summary>
        public void Draw(RenderBatch batch, int sample, int camera, byte[] pixels, int offset)
        {
            if (!m_Mosaic.Place(camera, out int left, out int bottom))
            {
                Read(pixels);
                m_Mosaic.Place(camera, out left, out bottom);
            }
            var tile = new Tile
            {
                Left = left, Bottom = bottom, Width = batch.Widths[camera], Height = batch.Heights[camera], Offset = offset,
            };
            var values = batch.Cameras.Values;
            int at = batch.Cameras.At(sample, camera);
            m_Camera.transform.SetPositionAndRotation(
                Converted.Position(values, at + RenderBatch.Camera.Position),
                Converted.CameraRotation(values, at + RenderBatch.Camera.Quaternion));
            m_Camera.pixelRect = new Rect(tile.Left, tile.Bottom, tile.Width, tile.Height);
            m_Camera.nearClipPlane = values[at + RenderBatch.Camera.Near];
            m_Camera.farClipPlane = values[at + RenderBatch.Camera.Far];
            m_Camera.projectionMatrix = Converted.Matrix(Lens.Projection(values, at, tile.Width, tile.Height));
            int frame = batch.Frames.At(sample, 0);
            m_Camera.backgroundColor = Converted.Color(batch.Frames.Values, frame + RenderBatch.Frame.Background);
            m_Camera.clearFlags = batch.Frames.Values[frame + RenderBatch.Frame.Surroundings] < 0
                ? CameraClearFlags.SolidColor : CameraClearFlags.Skybox;
            m_Camera.Render();
            m_Tiles.Add(tile);
        }

        /// <summary>Brings what was drawn to main memory, and makes room.</summary>
        public void Read(byte[] pixels)
        {
            var before = RenderTexture.active;
            RenderTexture.active = m_Target;
            m_Copy.ReadPixels(new Rect(0, 0, m_Target.width, m_Target.height), 0, 0, false);
            RenderTexture.active = before;
            var copied = m_Copy.GetRawTextureData();
            foreach (var tile in m_Tiles)
                Pictures.CopyTile(copied, m_Mosaic.Width, tile.Left, tile.Bottom, tile.Width, tile.Height, pixels, tile.Offset);
            m_Tiles.Clear();
            m_Mosaic.Clear();
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
