"""The one place that imports mlagents-envs and gRPC, which only the extra ``unity`` brings.

Importing it raises DactylError, in one line that names the extra, where they are missing or do not fit the installed
protobuf.
"""

from vision.errors import DactylError
from vision.extras import install, optional

try:
    with optional("mlagents_envs", "renderer unity"):
        import grpc
        from mlagents_envs import logging_util
        from mlagents_envs.communicator_objects.unity_output_pb2 import UnityOutputProto
        from mlagents_envs.communicator_objects.unity_to_external_pb2_grpc import (
            add_UnityToExternalProtoServicer_to_server,
        )
        from mlagents_envs.environment import UnityEnvironment
        from mlagents_envs.exception import (
            UnityCommunicatorStoppedException,
            UnityTimeOutException,
            UnityWorkerInUseException,
        )
        from mlagents_envs.rpc_communicator import PollCallback, RpcCommunicator, UnityToExternalServicerImplementation
        from mlagents_envs.side_channel import IncomingMessage, OutgoingMessage, SideChannel
except TypeError as error:  # "Descriptors cannot be created directly", says protobuf of code generated for an older one
    raise DactylError(
        f"renderer unity needs an older protobuf ({str(error).splitlines()[0].rstrip('.')}): {install('unity')}"
    ) from None

__all__ = [
    "IncomingMessage",
    "OutgoingMessage",
    "PollCallback",
    "RpcCommunicator",
    "SideChannel",
    "UnityCommunicatorStoppedException",
    "UnityEnvironment",
    "UnityOutputProto",
    "UnityTimeOutException",
    "UnityToExternalServicerImplementation",
    "UnityWorkerInUseException",
    "add_UnityToExternalProtoServicer_to_server",
    "grpc",
    "logging_util",
]
