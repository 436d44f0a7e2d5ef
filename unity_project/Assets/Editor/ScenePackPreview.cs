using System.IO;
using Dactyl.Protocol;
using Dactyl.Stage;
using UnityEditor;
using UnityEngine;

namespace Dactyl.Editor
{
    /// <summary>Shows a scene pack (dactyl unity export-scene) in the open scene, in the model's initial pose.</summary>
    public static class ScenePackPreview
    {
        [MenuItem("Dactyl/Show scene pack...")]
        static void Show()
        {
            string path = EditorUtility.OpenFilePanel("Scene pack", "", "pack");
            if (string.IsNullOrEmpty(path)) return;
            try
            {
                var pack = ScenePack.Decode(File.ReadAllBytes(path));
                new StageScene(Resources.Load<Material>("StageOpaque")).Load(pack);
            }
            catch (WireException error)
            {
                EditorUtility.DisplayDialog("Scene pack", $"{path}: {error.Message}", "Close");
            }
        }
    }
}
