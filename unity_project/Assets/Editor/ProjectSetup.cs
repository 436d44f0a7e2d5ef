using System.IO;
using UnityEditor;
using UnityEditor.SceneManagement;
using UnityEngine;
using UnityEngine.Rendering;

namespace Dactyl.Editor
{
    /// <summary>
    /// Makes the few assets and settings that the stage needs, whenever the project is opened or built: nobody has to set
    /// anything by hand, and no file of Unity's own formats is written by hand.
    /// </summary>
    public static class ProjectSetup
    {
        public const string ScenePath = "Assets/Generated/Empty.unity";
        const string k_MaterialPath = "Assets/Generated/Resources/StageOpaque.mat";

        [InitializeOnLoadMethod]
        static void OnOpen()
        {
            // Later: while the editor still loads, assets cannot be made. A build from the command line calls Run itself.
            if (!Application.isBatchMode) EditorApplication.delayCall += Run;
        }

        [MenuItem("Dactyl/Set up project")]
        public static void Run()
        {
            if (EditorApplication.isPlayingOrWillChangePlaymode) return;
            Directory.CreateDirectory(Path.GetDirectoryName(k_MaterialPath));
            if (!File.Exists(k_MaterialPath))
                // No keyword is set on it, so no variant of the shader that the stage needs can be stripped.
                AssetDatabase.CreateAsset(new Material(Shader.Find("Standard")), k_MaterialPath);
            if (!File.Exists(ScenePath))
            {
                var scene = EditorSceneManager.NewScene(NewSceneSetup.EmptyScene, NewSceneMode.Single);
                EditorSceneManager.SaveScene(scene, ScenePath);
            }
            ApplySettings();
            AssetDatabase.SaveAssets();
        }

        static void ApplySettings()
        {
            PlayerSettings.companyName = "Dactyl";
            PlayerSettings.productName = "Dactyl stage";
            PlayerSettings.colorSpace = ColorSpace.Linear; // changing it imports every texture again, so only once
            PlayerSettings.runInBackground = true;
            PlayerSettings.fullScreenMode = FullScreenMode.Windowed; // a small window: pictures are drawn into textures
            PlayerSettings.defaultScreenWidth = 64;
            PlayerSettings.defaultScreenHeight = 64;
            PlayerSettings.SetUseDefaultGraphicsAPIs(BuildTarget.StandaloneLinux64, false);
            PlayerSettings.SetGraphicsAPIs(BuildTarget.StandaloneLinux64,
                new[] { GraphicsDeviceType.Vulkan, GraphicsDeviceType.OpenGLCore });
            PlayerSettings.SetScriptingBackend(BuildTargetGroup.Standalone, ScriptingImplementation.Mono2x);
            EditorBuildSettings.scenes = new[] { new EditorBuildSettingsScene(ScenePath, true) };
        }
    }
}
