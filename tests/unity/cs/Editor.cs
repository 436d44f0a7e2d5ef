// Runs code of the project that calls Unity, against the stubs, and prints what Unity would be told.
using System;
using System.Reflection;
using Dactyl.Stage;
using UnityEditor;
using UnityEditor.Build.Reporting;
using UnityEngine;
using UnityEngine.Rendering;

static class EditorCheck
{
    static void Main(string[] arguments)
    {
        switch (arguments[0])
        {
            case "build": Build(arguments[1]); break;
            case "settings": Settings(); break;
            default: throw new ArgumentException(arguments[0]);
        }
    }

    static void Build(string outcome)
    {
        BuildPipeline.Outcome = () =>
        {
            if (outcome == "throws") throw new InvalidOperationException("no space left");
            if (outcome == "nothing") return null;
            var result = (BuildResult)Enum.Parse(typeof(BuildResult), outcome);
            return new BuildReport { summary = new BuildSummary { result = result, totalErrors = 3 } };
        };
        Dactyl.Editor.BuildPlayer.Linux64();
    }

    static void Settings()
    {
        typeof(StageController).GetMethod("ApplySettings", BindingFlags.Static | BindingFlags.NonPublic)
            .Invoke(null, null);
        Console.WriteLine("linear intensity: " + GraphicsSettings.lightsUseLinearIntensity);
        Console.WriteLine("color temperature: " + GraphicsSettings.lightsUseColorTemperature);
        Console.WriteLine("lights per pixel: " + QualitySettings.pixelLightCount);
    }
}
