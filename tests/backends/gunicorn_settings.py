# As gunicorn comes, but for connections that stay and a socket less: which headers move the path is left at its default.
import ctypes
import signal

worker_class = "gthread"
threads = 8
keepalive = 300
control_socket_disable = True


def post_fork(server, worker):
    """Let the kernel end the worker with its parent, which is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
