"""Stands in for the package torch where nothing computes with tensors.

TorchServe's Python side imports torch in every worker and in its collector of system
metrics, but for a handler without tensors it uses only the names below:
  ts/protocol/otf_message_handler.py  torch.Tensor, in an isinstance check
  ts/metrics/system_metrics.py        torch.version.cuda and .hip, torch.backends.mps
The real one would be a download of half a gigabyte or more.
"""

__version__ = "0.0.0+stub"


class Tensor:
    """Nothing is ever an instance of this."""


class version:
    cuda = None
    hip = None


class cuda:
    @staticmethod
    def is_available():
        return False

    @staticmethod
    def device_count():
        return 0


class backends:
    class mps:
        @staticmethod
        def is_available():
            return False
