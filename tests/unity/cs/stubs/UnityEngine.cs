// Signatures of UnityEngine that the project uses, as in Unity 2022.3's published C# reference. To compile against: a member
// that is not here has not been checked, and hardly any does something (settings keep their value, logs are printed).
using System;

#pragma warning disable 67, 649

namespace UnityEngine
{
    public class Object
    {
        public string name { get => throw null; set => throw null; }
        public static void DontDestroyOnLoad(Object target) => throw null;
        public static void Destroy(Object obj) => throw null;
        public static void DestroyImmediate(Object obj) => throw null;
        public static T[] FindObjectsOfType<T>() where T : Object => throw null;
        public static bool operator ==(Object x, Object y) => ReferenceEquals(x, y);
        public static bool operator !=(Object x, Object y) => !ReferenceEquals(x, y);
        public override bool Equals(object other) => throw null;
        public override int GetHashCode() => throw null;
    }

    public class Component : Object
    {
        public GameObject gameObject => throw null;
        public Transform transform => throw null;
    }

    public sealed class Terrain : Behaviour
    {
    }

    public class Behaviour : Component
    {
        public bool enabled { get => throw null; set => throw null; }
    }

    public class MonoBehaviour : Behaviour { }

    public partial class Transform : Component
    {
        public void SetPositionAndRotation(Vector3 position, Quaternion rotation) => throw null;
        public void SetParent(Transform parent, bool worldPositionStays) => throw null;
        public Vector3 localScale { get => throw null; set => throw null; }
    }

    public sealed class GameObject : Object
    {
        public GameObject(string name) => throw null;
        public Transform transform => throw null;
        public void SetActive(bool value) => throw null;
        public T AddComponent<T>() where T : Component => throw null;
    }

    public struct Vector2
    {
        public Vector2(float x, float y) => throw null;
    }

    public struct Vector3
    {
        public Vector3(float x, float y, float z) => throw null;
    }

    public struct Quaternion
    {
        public Quaternion(float x, float y, float z, float w) => throw null;
    }

    public struct Matrix4x4
    {
        public float this[int row, int column] { get => throw null; set => throw null; }
    }

    public struct Color32 { }

    public struct Rect
    {
        public Rect(float x, float y, float width, float height) => throw null;
    }

    public struct Color
    {
        public Color(float r, float g, float b, float a) => throw null;
        public static Color white => throw null;
    }

    public partial class Debug
    {
        public static void Log(object message) => Console.WriteLine("log " + message);
        public static void LogWarning(object message) => Console.WriteLine("warning " + message);
        public static void LogError(object message) => Console.WriteLine("error " + message);
        public static void LogException(Exception exception) => Console.WriteLine("exception " + exception.Message);
    }

    public partial class Application
    {
        public static bool runInBackground { get; set; }
        public static int targetFrameRate { get; set; }
        public static bool isBatchMode => throw null;
        public static string unityVersion => throw null;
        public static void Quit(int exitCode) => throw null;
    }

    public sealed partial class QualitySettings : Object
    {
        public static int vSyncCount { get; set; }
        public static int pixelLightCount { get; set; }
        public static ShadowQuality shadows { get; set; }
        public static ShadowResolution shadowResolution { get; set; }
        public static float shadowDistance { get; set; }
        public static AnisotropicFiltering anisotropicFiltering { get; set; }
        public static ColorSpace activeColorSpace => throw null;
    }

    public enum ShadowQuality { Disable, HardOnly, All }
    public enum ShadowResolution { Low, Medium, High, VeryHigh }
    public enum AnisotropicFiltering { Disable, Enable, ForceEnable }
    public enum ColorSpace { Uninitialized = -1, Gamma, Linear }

    public sealed partial class SystemInfo
    {
        public static Rendering.GraphicsDeviceType graphicsDeviceType => throw null;
        public static string graphicsDeviceName => throw null;
        public static string graphicsDeviceVersion => throw null;
    }

    public sealed partial class Resources
    {
        public static T Load<T>(string path) where T : Object => throw null;
    }

    public sealed partial class Shader : Object
    {
        public static Shader Find(string name) => throw null;
        public static int PropertyToID(string name) => throw null;
    }

    public partial class Material : Object
    {
        public Material(Shader shader) => throw null;
        public Material(Material source) => throw null;
        public void SetColor(int nameID, Color value) => throw null;
        public void SetFloat(int nameID, float value) => throw null;
        public void SetTexture(int nameID, Texture value) => throw null;
        public void SetTextureScale(int nameID, Vector2 value) => throw null;
        public void SetTextureOffset(int nameID, Vector2 value) => throw null;
    }

    public partial class Texture : Object
    {
        public virtual int width { get => throw null; set => throw null; }
        public virtual int height { get => throw null; set => throw null; }
        public TextureWrapMode wrapMode { get => throw null; set => throw null; }
        public int anisoLevel { get => throw null; set => throw null; }
        public FilterMode filterMode { get => throw null; set => throw null; }
    }

    public enum FilterMode { Point = 0, Bilinear = 1, Trilinear = 2 }
    public enum TextureWrapMode { Repeat, Clamp, Mirror, MirrorOnce }
    public enum TextureFormat { RGB24 = 3, RGBA32 = 4, RGBAHalf = 17 }

    public sealed partial class Texture2D : Texture
    {
        public Texture2D(int width, int height, TextureFormat textureFormat, bool mipChain) => throw null;
        public Texture2D(int width, int height, TextureFormat textureFormat, bool mipChain, bool linear) => throw null;
        public Color32[] GetPixels32() => throw null;
        public void SetPixels32(Color32[] colors) => throw null;
        public void Apply(bool updateMipmaps, bool makeNoLongerReadable) => throw null;
        public void ReadPixels(Rect source, int destX, int destY, bool recalculateMipMaps) => throw null;
        public byte[] GetRawTextureData() => throw null;
    }

    public static partial class ImageConversion
    {
        public static bool LoadImage(this Texture2D tex, byte[] data) => throw null;
    }

    public sealed partial class Cubemap : Texture
    {
        public Cubemap(int width, TextureFormat textureFormat, bool mipChain) => throw null;
        public void SetPixels(Color[] colors, CubemapFace face) => throw null;
        public void SetPixelData<T>(T[] data, int mipLevel, CubemapFace face, int sourceDataStartIndex = 0) => throw null;
        public void Apply(bool updateMipmaps, bool makeNoLongerReadable) => throw null;
        public void Apply() => throw null;
    }

    public enum CubemapFace { Unknown = -1, PositiveX, NegativeX, PositiveY, NegativeY, PositiveZ, NegativeZ }

    public partial class RenderTexture : Texture
    {
        public RenderTexture(int width, int height, int depth, RenderTextureFormat format, RenderTextureReadWrite readWrite)
            => throw null;
        public static RenderTexture active { get => throw null; set => throw null; }
        public int antiAliasing { get => throw null; set => throw null; }
        public bool useMipMap { get => throw null; set => throw null; }
        public bool Create() => throw null;
        public void Release() => throw null;
    }

    public enum RenderTextureFormat { ARGB32 = 0 }
    public enum RenderTextureReadWrite { Default = 0, Linear = 1, sRGB = 2 }

    public sealed partial class Camera : Behaviour
    {
        public RenderTexture targetTexture { get => throw null; set => throw null; }
        public CameraClearFlags clearFlags { get => throw null; set => throw null; }
        public RenderingPath renderingPath { get => throw null; set => throw null; }
        public bool allowHDR { get => throw null; set => throw null; }
        public bool allowMSAA { get => throw null; set => throw null; }
        public bool useOcclusionCulling { get => throw null; set => throw null; }
        public Rect pixelRect { get => throw null; set => throw null; }
        public Matrix4x4 projectionMatrix { get => throw null; set => throw null; }
        public float nearClipPlane { get => throw null; set => throw null; }
        public float farClipPlane { get => throw null; set => throw null; }
        public Color backgroundColor { get => throw null; set => throw null; }
        public void Render() => throw null;
    }

    public enum CameraClearFlags { Skybox = 1, SolidColor = 2, Depth = 3, Nothing = 4 }
    public enum RenderingPath { UsePlayerSettings = -1, VertexLit = 0, Forward = 1, DeferredShading = 3 }

    public sealed partial class Light : Behaviour
    {
        public LightType type { get => throw null; set => throw null; }
        public LightRenderMode renderMode { get => throw null; set => throw null; }
        public Color color { get => throw null; set => throw null; }
        public float intensity { get => throw null; set => throw null; }
        public float bounceIntensity { get => throw null; set => throw null; }
        public float range { get => throw null; set => throw null; }
        public float spotAngle { get => throw null; set => throw null; }
        public LightShadows shadows { get => throw null; set => throw null; }
        public float shadowStrength { get => throw null; set => throw null; }
        public float shadowBias { get => throw null; set => throw null; }
        public float shadowNormalBias { get => throw null; set => throw null; }
        public float shadowNearPlane { get => throw null; set => throw null; }
        public int shadowCustomResolution { get => throw null; set => throw null; }
    }

    public enum LightType { Spot = 0, Directional = 1, Point = 2 }
    public enum LightShadows { None = 0, Hard = 1, Soft = 2 }
    public enum LightRenderMode { Auto = 0, ForcePixel = 1, ForceVertex = 2 }

    public sealed partial class Mesh : Object
    {
        public Mesh() => throw null;
        public Rendering.IndexFormat indexFormat { get => throw null; set => throw null; }
        public Vector3[] vertices { get => throw null; set => throw null; }
        public Vector3[] normals { get => throw null; set => throw null; }
        public Vector2[] uv { get => throw null; set => throw null; }
        public int[] triangles { get => throw null; set => throw null; }
        public void RecalculateBounds() => throw null;
    }

    public sealed partial class MeshFilter : Component
    {
        public Mesh sharedMesh { get => throw null; set => throw null; }
    }

    public partial class Renderer : Component
    {
        public bool enabled { get => throw null; set => throw null; }
        public Material sharedMaterial { get => throw null; set => throw null; }
        public bool receiveShadows { get => throw null; set => throw null; }
        public Rendering.ShadowCastingMode shadowCastingMode { get => throw null; set => throw null; }
        public Rendering.LightProbeUsage lightProbeUsage { get => throw null; set => throw null; }
        public Rendering.ReflectionProbeUsage reflectionProbeUsage { get => throw null; set => throw null; }
    }

    public partial class MeshRenderer : Renderer { }

    public sealed partial class RenderSettings : Object
    {
        public static Material skybox { get => throw null; set => throw null; }
        public static bool fog { get => throw null; set => throw null; }
        public static Rendering.AmbientMode ambientMode { get => throw null; set => throw null; }
        public static Color ambientLight { get => throw null; set => throw null; }
        public static Rendering.SphericalHarmonicsL2 ambientProbe { get => throw null; set => throw null; }
        public static Rendering.DefaultReflectionMode defaultReflectionMode { get => throw null; set => throw null; }
        public static Texture customReflectionTexture { get => throw null; set => throw null; }
        public static float reflectionIntensity { get => throw null; set => throw null; }
    }

    public enum RuntimeInitializeLoadType { AfterSceneLoad = 0, BeforeSceneLoad = 1 }

    [AttributeUsage(AttributeTargets.Method, AllowMultiple = false)]
    public class RuntimeInitializeOnLoadMethodAttribute : Attribute
    {
        public RuntimeInitializeOnLoadMethodAttribute(RuntimeInitializeLoadType loadType) { }
    }

    public enum FullScreenMode { ExclusiveFullScreen = 0, FullScreenWindow = 1, MaximizedWindow = 2, Windowed = 3 }
}

namespace UnityEngine.Rendering
{
    public enum GraphicsDeviceType { Null = 4, OpenGLCore = 17, Vulkan = 21 }

    public sealed partial class GraphicsSettings : Object
    {
        public static bool lightsUseLinearIntensity { get; set; }
        public static bool lightsUseColorTemperature { get; set; } = true; // so that a test sees who sets it
    }

    public partial struct SphericalHarmonicsL2
    {
        public float this[int rgb, int coefficient] { get => throw null; set => throw null; }
    }

    public enum IndexFormat { UInt16 = 0, UInt32 = 1 }
    public enum ShadowCastingMode { Off = 0, On = 1, TwoSided = 2, ShadowsOnly = 3 }
    public enum LightProbeUsage { Off = 0, BlendProbes = 1 }
    public enum ReflectionProbeUsage { Off, BlendProbes, BlendProbesAndSkybox, Simple }
    public enum AmbientMode { Skybox = 0, Trilight = 1, Flat = 3, Custom = 4 }
    public enum DefaultReflectionMode { Skybox = 0, Custom = 1 }
}

namespace UnityEngine.SceneManagement
{
    public partial struct Scene { }
}
