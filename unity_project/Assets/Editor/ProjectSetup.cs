using System.IO;
using UnityEditor;
using UnityEditor.SceneManagement;
using UnityEngine;

namespace Dactyl.Editor
{
    /// <summary>
    /// Makes the few things that the stage needs in the editor and in a build, whenever the project is opened or built:
    /// nobody has to set anything by hand, and no file of Unity's own formats is written by hand.
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
            AssetDatabase.Refresh(); // learns of the folder
            if (!File.Exists(k_MaterialPath))
                // No keyword is set on it, so no variant of the shader that the stage needs can be stripped.
                AssetDatabase.CreateAsset(new Material(Shader.Find("Standard")), k_MaterialPath);
            if (!File.Exists(ScenePath))
            {
                var scene = EditorSceneManager.NewScene(NewSceneSetup.EmptyScene, NewSceneMode.Single);
                EditorSceneManager.SaveScene(scene, ScenePath);
            }
            PlayerSettings.colorSpace = ColorSpace.Linear;
            PlayerSettings.runInBackground = true;
            AssetDatabase.SaveAssets();
        }
    }
}
