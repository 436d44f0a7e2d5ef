using System;
using Dactyl.Protocol;
using Unity.MLAgents;
using Unity.MLAgents.SideChannels;
using UnityEngine;
using UnityEngine.Rendering;

namespace Dactyl.Stage
{
    /// <summary>
    /// Connects to Python and answers one request a frame. It starts by itself in any scene, also an empty one: the project
    /// has no scene of its own to keep in order.
    /// </summary>
    public sealed class StageController : MonoBehaviour
    {
        const int k_NoGraphicsDevice = 17, k_NotConnected = 18, k_Broken = 19; // exit codes

        SceneChannel m_Channel;
        StageServer m_Server;
        StageAgent[] m_Agents;

        [RuntimeInitializeOnLoadMethod(RuntimeInitializeLoadType.AfterSceneLoad)]
        static void Boot()
        {
            // In the editor some other scene may be open, or a preview of a pack: none of it belongs into the pictures.
            foreach (var light in FindObjectsOfType<Light>()) light.enabled = false;
            foreach (var camera in FindObjectsOfType<Camera>()) camera.enabled = false;
            foreach (var renderer in FindObjectsOfType<Renderer>()) renderer.enabled = false;
            foreach (var terrain in FindObjectsOfType<Terrain>()) terrain.enabled = false;
            var stage = new GameObject("Dactyl stage");
            DontDestroyOnLoad(stage);
            stage.AddComponent<StageController>();
        }

        void Awake()
        {
            if (SystemInfo.graphicsDeviceType == GraphicsDeviceType.Null)
            {
                Stop(k_NoGraphicsDevice, "there is no graphics device: run without -nographics, on a display");
                return;
            }
            try
            {
                Begin();
            }
            catch (Exception error)
            {
                Stop(k_Broken, error.ToString());
            }
        }

        void Begin()
        {
            ApplySettings();
            // The order matters: making the first agent connects to Python, whose first message is for the channel.
            m_Channel = new SceneChannel();
            SideChannelManager.RegisterSideChannel(m_Channel);
            var shape = StageOptions.Observations();
            m_Server = new StageServer(new UnityStage(), shape);
            m_Agents = new StageAgent[Math.Max(1, shape.Samples)];
            for (int i = 0; i < m_Agents.Length; i++) m_Agents[i] = StageAgent.Create(i, shape);
            Academy.Instance.AutomaticSteppingEnabled = false;
            // ML-Agents has logged why: nothing listens on the port, or the two sides' versions do not fit.
            if (!Academy.Instance.IsCommunicatorOn)
                Stop(k_NotConnected, "no connection to Python: start dactyl render first; if it runs, see the lines above");
        }

        void Update()
        {
            if (m_Agents == null) return;
            Answer answer = null;
            foreach (var message in m_Channel.Take())
            {
                answer = m_Server.Answer(message);
                m_Channel.Send(answer.Message);
                if (answer.Status != Status.Ok) Debug.LogWarning("refused: " + answer.Status);
            }
            Observe(answer);
            Academy.Instance.EnvironmentStep(); // sends, then waits for Python's next step
        }

        void OnDestroy()
        {
            if (m_Channel != null) SideChannelManager.UnregisterSideChannel(m_Channel);
        }

        /// <summary>Agents are mailboxes: each carries one sample's pictures. One always speaks, or nothing is sent.</summary>
        void Observe(Answer answer)
        {
            var batch = answer?.Observed;
            int speaking = batch?.Samples ?? 1;
            for (int i = 0; i < speaking; i++)
                m_Agents[i].Show(answer?.Status ?? Status.Ok, answer?.Id ?? 0, batch, answer?.Pixels);
        }

        /// <summary>What a project's settings would decide, decided here, for the editor and every build.</summary>
        static void ApplySettings()
        {
            Application.runInBackground = true;
            Application.targetFrameRate = -1;
            QualitySettings.vSyncCount = 0;
            QualitySettings.pixelLightCount = 8; // more lights than that would be cheap ones, computed per vertex
            QualitySettings.shadows = ShadowQuality.All;
            QualitySettings.shadowResolution = ShadowResolution.VeryHigh;
            QualitySettings.shadowDistance = 10f; // metres from the camera
            QualitySettings.anisotropicFiltering = AnisotropicFiltering.ForceEnable;
            // By default Unity takes colour times intensity to linear as if it were an encoded colour: a light of 3 would be
            // one of 11, and one of 0.5 one of 0.2.
            GraphicsSettings.lightsUseLinearIntensity = true;
            GraphicsSettings.lightsUseColorTemperature = false;
        }

        void Stop(int exitCode, string reason)
        {
            Debug.LogError("dactyl: " + reason);
            m_Agents = null;
            Application.Quit(exitCode); // does nothing in the editor
        }
    }

    /// <summary>What the command line says.</summary>
    static class StageOptions
    {
        /// <summary>--observations AGENTS:WIDTHxHEIGHT,... of each camera; without it, pictures go back raw only.</summary>
        public static ObservationShape Observations()
        {
            var arguments = Environment.GetCommandLineArgs();
            int at = Array.IndexOf(arguments, "--observations");
            if (at < 0 || at + 1 == arguments.Length) return default(ObservationShape);
            return ObservationShape.Parse(arguments[at + 1]);
        }
    }
}
