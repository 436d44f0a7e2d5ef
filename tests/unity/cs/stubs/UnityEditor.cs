// Signatures of UnityEditor that the project uses, as in Unity 2022.3's published C# reference: see UnityEngine.cs.
// What BuildPlayer.cs calls does something simple, so that Editor.cs can run it; BuildPipeline.Outcome is not Unity's.
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
        public static bool isPlayingOrWillChangePlaymode => true; // ProjectSetup.Run then does nothing
        public static void Exit(int returnValue) => Console.WriteLine("exit " + returnValue);
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
        public static string companyName { get; set; }
        public static string productName { get; set; }
        public static ColorSpace colorSpace { get => throw null; set => throw null; }
        public static bool runInBackground { get => throw null; set => throw null; }
        public static FullScreenMode fullScreenMode { get; set; }
        public static int defaultScreenWidth { get; set; }
        public static int defaultScreenHeight { get; set; }
        public static void SetUseDefaultGraphicsAPIs(BuildTarget platform, bool automatic) { }
        public static void SetGraphicsAPIs(BuildTarget platform, UnityEngine.Rendering.GraphicsDeviceType[] apis) { }
        public static void SetScriptingBackend(BuildTargetGroup targetGroup, ScriptingImplementation backend) { }
    }

    public enum BuildTarget { StandaloneLinux64 = 24 }
    public enum BuildTargetGroup { Standalone = 1 }
    public enum ScriptingImplementation { Mono2x = 0, IL2CPP = 1 }

    [Flags]
    public enum BuildOptions { None = 0 }

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
        public static Func<Build.Reporting.BuildReport> Outcome;
        public static Build.Reporting.BuildReport BuildPlayer(BuildPlayerOptions buildPlayerOptions) => Outcome();
    }
}

namespace UnityEditor.Build.Reporting
{
    public enum BuildResult { Unknown = 0, Succeeded = 1, Failed = 2, Cancelled = 3 }

    public struct BuildSummary
    {
        public BuildResult result { get; set; }
        public int totalErrors { get; set; }
    }

    public sealed class BuildReport : UnityEngine.Object
    {
        public BuildSummary summary { get; set; }
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
