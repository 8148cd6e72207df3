/** The proxy as a process: settings in, announcement, signals, exit codes. */

import { type MeshProxyDeps, type RunningProcess, startMeshProxy } from './mesh-proxy.ts';
import type { Runtime } from './runtime/runtime.ts';
import { parseSettings, type StaticSettings, USAGE } from './settings/settings.ts';

export interface ProcessDeps {
  readonly runtime: Runtime;
  readonly version: string;
  readonly proxy: (settings: MeshProxyDeps['settings']) => MeshProxyDeps['proxy'];
  readonly startStatic: (settings: StaticSettings, quit: () => void) => Promise<RunningProcess>;
}

/**
 * Runs until SIGTERM, SIGINT or `POST /quitquitquit`, then drains and exits 0. Anything that keeps it from starting is
 * reported in one line each, exit code 1.
 */
export async function runProcess({ runtime, version, proxy, startStatic }: ProcessDeps): Promise<void> {
  const host = runtime.process;
  const parsed = parseSettings(host.args, host.environment);
  if (parsed.kind === 'help') {
    host.writeOut(USAGE.trimEnd());
    return host.exit(0);
  }
  if (parsed.kind === 'invalid') {
    for (const violation of parsed.violations) host.writeError(`tulle proxy: ${violation}`);
    return host.exit(1);
  }
  host.configureLog({ format: parsed.settings['log-format'], level: parsed.settings['log-level'] });
  let running: RunningProcess | undefined;
  const quit = () => {
    // Before the start is over there is nothing to drain.
    if (!running) return host.exit(0);
    running.stop().then(
      () => host.exit(0),
      (error: unknown) => fail(runtime, error),
    );
  };
  host.onSignal('SIGTERM', quit);
  host.onSignal('SIGINT', quit);
  try {
    running =
      parsed.kind === 'static'
        ? await startStatic(parsed.settings, quit)
        : await startMeshProxy({ runtime, version, settings: parsed.settings, proxy: proxy(parsed.settings) }, quit);
    await running.ready;
  } catch (error) {
    return fail(runtime, error);
  }
  // What reading the config left behind would stay for as long as there is little to do.
  host.collectGarbage?.();
  if (!parsed.settings.announce) return;
  const { adminPort, outboundAddress } = running;
  const httpProxyPort = parsed.kind === 'mesh' ? parsed.settings['http-proxy-port'] : undefined;
  host.writeOut(JSON.stringify({ ready: true, adminPort, httpProxyPort, outboundAddress, ports: running.ports() }));
}

function fail(runtime: Runtime, error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  runtime.process.writeError(`tulle proxy: ${message.replace(/\s*\n\s*/g, ' ')}`);
  return runtime.process.exit(1);
}
