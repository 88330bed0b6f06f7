# gunicorn's defaults, except for keep-alive and one socket less: the setting for headers that move the path is the
# default.
import ctypes
import signal

worker_class = "gthread"
threads = 8
keepalive = 300
control_socket_disable = True


def post_fork(server, worker):
    """Let the kernel end the worker with its parent, which is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
