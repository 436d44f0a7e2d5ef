using System.Collections.Generic;
using Dactyl.Protocol;
using UnityEngine;
using UnityEngine.Rendering;
using Object = UnityEngine.Object;

namespace Dactyl.Stage
{
    /// <summary>The scene of a pack as objects of Unity, and the values of a sample applied to them.</summary>
    public sealed class StageScene
    {
        static readonly int k_Color = Shader.PropertyToID("_Color"), k_Metallic = Shader.PropertyToID("_Metallic"),
            k_Smoothness = Shader.PropertyToID("_Glossiness"), k_Texture = Shader.PropertyToID("_MainTex");

        readonly Material m_Template;
        readonly Clutter m_Clutter;
        readonly List<Object> m_Owned = new List<Object>();
        readonly List<Light> m_Lights = new List<Light>();
        readonly Dictionary<ulong, Texture2D> m_Pictures = new Dictionary<ulong, Texture2D>();
        readonly Dictionary<ulong, SurroundingsPicture> m_Around = new Dictionary<ulong, SurroundingsPicture>();
        readonly Surroundings m_Surroundings = new Surroundings();
        Transform[] m_Bodies = new Transform[0];
        Material[] m_Materials = new Material[0];
        List<Renderer>[] m_PartsOf = new List<Renderer>[0]; // of each material
        Texture2D[] m_Textures = new Texture2D[0];

        public StageScene(Material template)
        {
            m_Template = template;
            m_Clutter = new Clutter(template);
        }

        /// <summary>Shows a pack in its initial pose instead of what was there before.</summary>
        public void Load(ScenePack pack)
        {
            Clear();
            m_Textures = System.Array.ConvertAll(pack.Textures, texture => Owned(Textures.Decode(texture.Png, texture.Name)));
            m_Materials = System.Array.ConvertAll(pack.Materials, MakeMaterial);
            m_Bodies = System.Array.ConvertAll(pack.Bodies, MakeBody);
            m_PartsOf = System.Array.ConvertAll(pack.Materials, material => new List<Renderer>());
            foreach (var part in pack.Parts) MakePart(part);
        }

        /// <summary>Keeps a PNG file for samples to show, whatever pack is loaded.</summary>
        public void AddPicture(ulong hash, byte[] png)
        {
            m_Pictures.Add(hash, Textures.Decode(png, hash.ToString("x16")));
        }

        public void AddSurroundings(ulong hash, EnvironmentMap map)
        {
            m_Around.Add(hash, new SurroundingsPicture(map));
        }

        public void Forget()
        {
            m_Surroundings.Forget();
            foreach (var picture in m_Around.Values) picture.Dispose();
            m_Around.Clear();
            foreach (var material in m_Materials) material.SetTexture(k_Texture, null);
            foreach (var picture in m_Pictures.Values) Object.DestroyImmediate(picture);
            m_Pictures.Clear();
        }

        /// <summary>Sets everything that a sample sets, but the cameras.</summary>
        public void Apply(RenderBatch batch, int sample)
        {
            for (int k = 0; k < m_Bodies.Length; k++)
            {
                int at = batch.Bodies.At(sample, k);
                m_Bodies[k].SetPositionAndRotation(
                    Converted.Position(batch.Bodies.Values, at + RenderBatch.Body.Position),
                    Converted.Rotation(batch.Bodies.Values, at + RenderBatch.Body.Quaternion));
            }
            for (int k = 0; k < m_Materials.Length; k++)
            {
                int at = batch.Materials.At(sample, k);
                ApplyMaterial(m_Materials[k], batch, at);
                bool visible = batch.Materials.Values[at + RenderBatch.Material.Visible] > 0;
                foreach (var part in m_PartsOf[k]) part.enabled = visible;
            }
            while (m_Lights.Count < batch.Lights.Count) m_Lights.Add(MakeLight(m_Lights.Count));
            for (int k = 0; k < m_Lights.Count; k++)
            {
                m_Lights[k].enabled = k < batch.Lights.Count;
                if (m_Lights[k].enabled)
                    ApplyLight(m_Lights[k], batch.Lights.Values, batch.Lights.At(sample, k), batch.ShadowSize);
            }
            m_Clutter.Apply(batch, sample);
            int frame = batch.Frames.At(sample, 0);
            var values = batch.Frames.Values;
            int around = (int)values[frame + RenderBatch.Frame.Surroundings];
            float reflection = values[frame + RenderBatch.Frame.Reflection];
            if (around < 0)
                m_Surroundings.ApplyEven(Converted.Color(values, frame + RenderBatch.Frame.Ambient), reflection);
            else
                m_Surroundings.Apply(m_Around[batch.Pictures[around]], values[frame + RenderBatch.Frame.Radiance], reflection);
        }

        void ApplyMaterial(Material material, RenderBatch batch, int at)
        {
            var values = batch.Materials.Values;
            // The alpha of an opaque material means nothing; its colour is converted from sRGB by Unity.
            material.SetColor(k_Color, Converted.Color(values, at + RenderBatch.Material.Color));
            material.SetFloat(k_Metallic, values[at + RenderBatch.Material.Metallic]);
            material.SetFloat(k_Smoothness, values[at + RenderBatch.Material.Smoothness]);
            int texture = (int)values[at + RenderBatch.Material.Texture];
            material.SetTexture(k_Texture, texture < 0 ? null
                : texture < m_Textures.Length ? m_Textures[texture] : m_Pictures[batch.Pictures[texture - m_Textures.Length]]);
            int scale = at + RenderBatch.Material.TextureScale, offset = at + RenderBatch.Material.TextureOffset;
            material.SetTextureScale(k_Texture, new Vector2(values[scale], values[scale + 1]));
            material.SetTextureOffset(k_Texture, new Vector2(values[offset], values[offset + 1]));
        }

        static void ApplyLight(Light light, float[] values, int at, int shadowSize)
        {
            var kind = (LightKind)(int)values[at + RenderBatch.Light.Kind];
            light.enabled = kind != LightKind.Off;
            if (!light.enabled) return;
            light.type = kind == LightKind.Directional ? LightType.Directional
                : kind == LightKind.Point ? LightType.Point : LightType.Spot;
            light.transform.SetPositionAndRotation(
                Converted.Position(values, at + RenderBatch.Light.Position),
                Converted.DirectionRotation(values, at + RenderBatch.Light.Direction));
            light.color = Converted.Color(values, at + RenderBatch.Light.Color);
            light.intensity = values[at + RenderBatch.Light.Intensity];
            light.range = values[at + RenderBatch.Light.Range];
            light.spotAngle = values[at + RenderBatch.Light.SpotDeg];
            float shadow = values[at + RenderBatch.Light.Shadow];
            light.shadows = shadow > 0 ? LightShadows.Soft : LightShadows.None;
            light.shadowStrength = shadow;
            light.shadowCustomResolution = shadowSize > 0 ? shadowSize : -1;
        }

        static Light MakeLight(int index)
        {
            var light = new GameObject("Dactyl light " + index).AddComponent<Light>();
            light.renderMode = LightRenderMode.ForcePixel; // beyond four, Unity would otherwise light vertices only
            light.bounceIntensity = 0f;
            light.shadowNearPlane = 0.1f;
            light.shadowBias = 0.001f; // the defaults suit rooms; fingers are centimetres thick
            light.shadowNormalBias = 0f;
            return light;
        }

        Material MakeMaterial(ScenePack.Material source)
        {
            var material = Owned(new Material(m_Template));
            material.name = source.Name;
            material.SetColor(k_Color, Converted.Color(source.Color, 0));
            material.SetTexture(k_Texture, source.Texture >= 0 ? m_Textures[source.Texture] : null);
            material.SetTextureScale(k_Texture, new Vector2(source.ScaleU, source.ScaleV));
            return material;
        }

        Transform MakeBody(ScenePack.Body source)
        {
            var body = Owned(new GameObject(source.Name));
            body.transform.SetPositionAndRotation(
                Converted.Position(source.Pose, RenderBatch.Body.Position),
                Converted.Rotation(source.Pose, RenderBatch.Body.Quaternion));
            return body.transform;
        }

        void MakePart(ScenePack.Part source)
        {
            var part = Owned(new GameObject(source.Name));
            part.transform.SetParent(m_Bodies[source.Body], false);
            part.AddComponent<MeshFilter>().sharedMesh = Owned(Converted.Mesh(source));
            m_PartsOf[source.Material].Add(Converted.AddRenderer(part, m_Materials[source.Material], source.CastsShadow));
        }

        T Owned<T>(T thing) where T : Object
        {
            m_Owned.Add(thing);
            return thing;
        }

        void Clear()
        {
            // At once, not at the end of the frame: the next picture is drawn before that.
            foreach (var thing in m_Owned)
                if (thing != null) Object.DestroyImmediate(thing);
            m_Owned.Clear();
        }
    }
}
