// Signatures of UnityEditor that the project uses, as in Unity 2022.3's published C# reference: see UnityEngine.cs.
using System;
using UnityEngine;

namespace UnityEditor
{
    [AttributeUsage(AttributeTargets.Method)]
    public class InitializeOnLoadMethodAttribute : Attribute { }

    [AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
    public sealed class MenuItem : Attribute
    {
        public MenuItem(string itemName) { }
    }

    public sealed partial class EditorApplication
    {
        public delegate void CallbackFunction();

        public static CallbackFunction delayCall;
        public static bool isPlayingOrWillChangePlaymode => throw null;
        public static void Exit(int returnValue) => throw null;
    }

    public sealed partial class EditorUtility
    {
        public static string OpenFilePanel(string title, string directory, string extension) => throw null;
        public static bool DisplayDialog(string title, string message, string ok) => throw null;
    }

    public sealed partial class AssetDatabase
    {
        public static void CreateAsset(UnityEngine.Object asset, string path) => throw null;
        public static void SaveAssets() => throw null;
        public static void Refresh() => throw null;
    }

    public sealed partial class PlayerSettings : UnityEngine.Object
    {
        public static string companyName { get => throw null; set => throw null; }
        public static string productName { get => throw null; set => throw null; }
        public static ColorSpace colorSpace { get => throw null; set => throw null; }
        public static bool runInBackground { get => throw null; set => throw null; }
        public static FullScreenMode fullScreenMode { get => throw null; set => throw null; }
        public static int defaultScreenWidth { get => throw null; set => throw null; }
        public static int defaultScreenHeight { get => throw null; set => throw null; }
        public static void SetUseDefaultGraphicsAPIs(BuildTarget platform, bool automatic) => throw null;
        public static void SetGraphicsAPIs(BuildTarget platform, UnityEngine.Rendering.GraphicsDeviceType[] apis) => throw null;
        public static void SetScriptingBackend(BuildTargetGroup targetGroup, ScriptingImplementation backend) => throw null;
    }

    public enum BuildTarget { StandaloneLinux64 = 24 }
    public enum BuildTargetGroup { Standalone = 1 }
    public enum ScriptingImplementation { Mono2x = 0, IL2CPP = 1 }

    [Flags]
    public enum BuildOptions { None = 0, StrictMode = 1 << 21 }

    public struct BuildPlayerOptions
    {
        public string[] scenes { get; set; }
        public string locationPathName { get; set; }
        public BuildTargetGroup targetGroup { get; set; }
        public BuildTarget target { get; set; }
        public BuildOptions options { get; set; }
    }

    public partial class BuildPipeline
    {
        public static Build.Reporting.BuildReport BuildPlayer(BuildPlayerOptions buildPlayerOptions) => throw null;
    }
}

namespace UnityEditor.Build.Reporting
{
    public enum BuildResult { Unknown = 0, Succeeded = 1, Failed = 2, Cancelled = 3 }

    public struct BuildSummary
    {
        public BuildResult result => throw null;
        public int totalErrors => throw null;
    }

    public sealed class BuildReport : UnityEngine.Object
    {
        public BuildSummary summary => throw null;
    }
}

namespace UnityEditor.SceneManagement
{
    public enum NewSceneSetup { EmptyScene, DefaultGameObjects }
    public enum NewSceneMode { Single, Additive }

    public sealed partial class EditorSceneManager
    {
        public static UnityEngine.SceneManagement.Scene NewScene(NewSceneSetup setup, NewSceneMode mode) => throw null;
        public static bool SaveScene(UnityEngine.SceneManagement.Scene scene, string dstScenePath) => throw null;
    }
}
