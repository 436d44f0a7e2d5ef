using Dactyl.Protocol;
using UnityEngine;

namespace Dactyl.Stage
{
    /// <summary>Colour textures from PNG files.</summary>
    static class Textures
    {
        /// <exception cref="WireException">for what is no PNG file</exception>
        public static Texture2D Decode(byte[] png, string name)
        {
            // What loading makes of a texture's smaller levels depends on the file; so they are asked for in another one.
            var file = new Texture2D(2, 2, TextureFormat.RGBA32, false, false);
            try
            {
                if (!file.LoadImage(png)) throw new WireException(Status.Scene, $"texture {name} is no PNG file");
                // Not linear: its colours are sRGB-encoded, and the graphics device decodes them before it filters.
                var texture = new Texture2D(file.width, file.height, TextureFormat.RGBA32, true, false);
                texture.SetPixels32(file.GetPixels32());
                texture.Apply(true, true); // makes the smaller levels, and frees the copy in main memory
                texture.name = name;
                texture.wrapMode = TextureWrapMode.Repeat;
                texture.filterMode = FilterMode.Trilinear;
                texture.anisoLevel = 4;
                return texture;
            }
            finally
            {
                Object.DestroyImmediate(file);
            }
        }
    }
}
