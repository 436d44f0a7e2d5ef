using System;
using System.IO;
using UnityEditor;
using UnityEditor.Build.Reporting;
using UnityEngine;
using UnityEngine.Rendering;

namespace Dactyl.Editor
{
    /// <summary>Builds the player, from the menu or with -executeMethod Dactyl.Editor.BuildPlayer.Linux64.</summary>
    public static class BuildPlayer
    {
        const string k_DefaultOutput = "Build/stage.x86_64";

        [MenuItem("Dactyl/Build Linux player")]
        static void FromMenu()
        {
            Build(k_DefaultOutput);
        }

        /// <summary>For the command line; -output PATH says where. The editor exits with 0 if the build succeeded.</summary>
        public static void Linux64()
        {
            int status = 1;
            try
            {
                status = Build(Argument("-output") ?? k_DefaultOutput) ? 0 : 1;
            }
            catch (Exception error)
            {
                Debug.LogException(error); // Exit ends the process at once, so an exception in flight would be lost
            }
            EditorApplication.Exit(status);
        }

        static bool Build(string output)
        {
            ProjectSetup.Run();
            ApplySettings();
            var folder = Path.GetDirectoryName(Path.GetFullPath(output));
            Directory.CreateDirectory(folder);
            var options = new BuildPlayerOptions
            {
                scenes = new[] { ProjectSetup.ScenePath },
                locationPathName = output,
                target = BuildTarget.StandaloneLinux64,
                targetGroup = BuildTargetGroup.Standalone,
                // Not StrictMode: it fails a good build for any error that some package logs.
                options = BuildOptions.None,
            };
            var report = BuildPipeline.BuildPlayer(options);
            if (report == null)
            {
                Debug.LogError("dactyl: the build did not start; the reason is further up in this log");
                return false;
            }
            var summary = report.summary;
            string result = $"dactyl: build {summary.result}, {summary.totalErrors} errors, {Path.GetFullPath(output)}";
            if (summary.result == BuildResult.Succeeded) Debug.Log(result);
            else Debug.LogError(result + "; the errors are further up in this log");
            return summary.result == BuildResult.Succeeded;
        }

        static void ApplySettings()
        {
            PlayerSettings.companyName = "Dactyl";
            PlayerSettings.productName = "Dactyl stage";
            PlayerSettings.fullScreenMode = FullScreenMode.Windowed; // a small window: pictures are drawn into textures
            PlayerSettings.defaultScreenWidth = 64;
            PlayerSettings.defaultScreenHeight = 64;
            PlayerSettings.SetUseDefaultGraphicsAPIs(BuildTarget.StandaloneLinux64, false);
            PlayerSettings.SetGraphicsAPIs(BuildTarget.StandaloneLinux64,
                new[] { GraphicsDeviceType.Vulkan, GraphicsDeviceType.OpenGLCore });
            PlayerSettings.SetScriptingBackend(BuildTargetGroup.Standalone, ScriptingImplementation.Mono2x);
        }

        static string Argument(string name)
        {
            var arguments = Environment.GetCommandLineArgs();
            int at = Array.IndexOf(arguments, name);
            return at >= 0 && at + 1 < arguments.Length ? arguments[at + 1] : null;
        }
    }
}
