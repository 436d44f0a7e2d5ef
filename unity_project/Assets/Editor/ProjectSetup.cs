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
        const string k_Resources = "Assets/Generated/Resources/";

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
            Directory.CreateDirectory(k_Resources);
            AssetDatabase.Refresh(); // learns of the folder
            MakeMaterial("StageOpaque", "Standard");
            MakeMaterial("StageSky", "Skybox/Cubemap");
            if (!File.Exists(ScenePath))
            {
                var scene = EditorSceneManager.NewScene(NewSceneSetup.EmptyScene, NewSceneMode.Single);
                EditorSceneManager.SaveScene(scene, ScenePath);
            }
            PlayerSettings.colorSpace = ColorSpace.Linear;
            PlayerSettings.runInBackground = true;
            AssetDatabase.SaveAssets();
        }

        static void MakeMaterial(string name, string shader)
        {
            string path = k_Resources + name + ".mat";
            // No keyword is set on it, so no variant of the shader that the stage needs can be stripped.
            if (!File.Exists(path)) AssetDatabase.CreateAsset(new Material(Shader.Find(shader)), path);
        }
    }
}
