using System;
using System.IO;
using Dactyl.Protocol;
using Dactyl.Stage;
using UnityEditor;
using UnityEngine;

namespace Dactyl.Editor
{
    /// <summary>
    /// Shows a scene pack (dactyl unity export-scene) in the open scene, in the model's initial pose, in the place of the
    /// one that it showed before.
    /// </summary>
    public static class ScenePackPreview
    {
        static StageScene s_Shown;

        [MenuItem("Dactyl/Show scene pack...")]
        static void Show()
        {
            string path = EditorUtility.OpenFilePanel("Scene pack", "", "pack");
            if (string.IsNullOrEmpty(path)) return;
            try
            {
                var pack = ScenePack.Decode(File.ReadAllBytes(path));
                ProjectSetup.Run(); // makes the material, if it is not there yet
                var template = Resources.Load<Material>("StageOpaque");
                if (template == null)
                    throw new FileNotFoundException("Resources/StageOpaque is missing: run Dactyl > Set up project");
                if (s_Shown == null) s_Shown = new StageScene(template);
                s_Shown.Load(pack);
            }
            catch (Exception error) when (error is WireException || error is IOException)
            {
                EditorUtility.DisplayDialog("Scene pack", $"{path}: {error.Message}", "Close");
            }
        }
    }
}
