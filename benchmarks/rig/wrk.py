"""A closed loop at full speed: wrk, whose script prints its summary as JSON."""

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.rig.load import Load
from benchmarks.rig.processes import BenchmarkError, prepare_child
from benchmarks.rig.shapes import Shape

INSTALL = "apt-get install wrk"
_MARK = "summary: "
_DONE = """
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n%s{"requests": %%d, "duration_us": %%d, "p50_us": %%.1f, "p99_us": %%.1f, "errors": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout + e.status))
end
"""


def find() -> Path | None:
    """Return where wrk is installed."""
    found = shutil.which("wrk")
    return Path(found) if found else None


def lua_string(text: str) -> str:
    """Return `text` as a Lua string literal; Lua spells bytes as decimal escapes."""
    return (
        '"'
        + "".join(f"\\{byte:03d}" if byte < 32 or byte in b'"\\' else chr(byte) for byte in text.encode("ascii"))
        + '"'
    )


def script(shape: Shape) -> str:
    """Return wrk's script for `shape`: the request, and the summary as a line of JSON."""
    lines = [f"wrk.method = {lua_string(shape.method)}"]
    lines += [f"wrk.headers[{lua_string(name)}] = {lua_string(value)}" for name, value in shape.headers.items()]
    if shape.body:
        lines.append(f"wrk.body = {lua_string(shape.body.decode('ascii'))}")
    return "\n".join(lines) + _DONE % _MARK


def parse(output: str) -> Load:
    """Read what `script` made wrk print.

    Raises:
        BenchmarkError: there is no summary in it, or no request was answered.
    """
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise BenchmarkError(f"wrk printed no summary but: {output.strip()[-800:]}")
    summary = json.loads(lines[-1].removeprefix(_MARK))
    if not summary["requests"]:
        raise BenchmarkError(f"wrk got no answer at all; errors: {summary['errors']}")
    return Load(
        requests=summary["requests"],
        seconds=summary["duration_us"] / 1e6,
        p50_ms=summary["p50_us"] / 1e3,
        p99_ms=summary["p99_us"] / 1e3,
        errors=summary["errors"],
    )


def run(
    program: Path,
    address: str,
    shape: Shape,
    seconds: float,
    connections: int,
    core: int | None,
    folder: Path,
) -> Load:
    """Keep `connections` busy with `shape` for `seconds`; wrk takes whole seconds, so at least one."""
    lua = folder / "shape.lua"
    lua.write_text(script(shape))
    command = [str(program), "-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s"]
    try:
        done = subprocess.run(
            [*command, "-s", str(lua), f"{'https' if shape.tls else 'http'}://{address}{shape.path}"],
            capture_output=True,
            text=True,
            timeout=seconds + 20,
            preexec_fn=prepare_child(core),
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"wrk did not end within {seconds + 20:g} s") from None
    return parse(done.stdout + done.stderr)
