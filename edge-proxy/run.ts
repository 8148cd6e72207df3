/** The proxy as a process: settings in, announcement, signals, the application of `tulle run`, exit codes. */

import { CAPTURE_PORTS } from '../shared/join/capture-ports.ts';
import { applicationEnvironment } from './application-environment.ts';
import { HotRestart } from './hot-restart.ts';
import {
  type MeshProxyDeps,
  type ProcessActions,
  type RunningProcess,
  readText,
  startMeshProxy,
} from './mesh-proxy.ts';
import type { Application, EndSignal, ProcessControl, Runtime } from './runtime/runtime.ts';
import { accessUrl, accessWith, type HttpProxyAccess, newAccess } from './settings/http-proxy-access.ts';
import {
  checkCapture,
  descriptorsAt,
  type InheritedSockets,
  readInheritedSockets,
  SOCKET_VARIABLES,
} from './settings/inherited-sockets.ts';
import { type Parsed, parseSettings, type StaticSettings, USAGE } from './settings/settings.ts';
import { watchOpenPorts } from './watch-open-ports.ts';

export interface ProcessDeps {
  readonly runtime: Runtime;
  readonly version: string;
  readonly proxy: (
    settings: MeshProxyDeps['settings'],
    given: { readonly httpProxy: HttpProxyAccess | undefined; readonly sockets: InheritedSockets | undefined },
  ) => MeshProxyDeps['proxy'];
  /** An Envoy in the place of the data plane. @param args Envoy's own */
  readonly envoy: (
    settings: MeshProxyDeps['settings'],
    args: readonly string[],
  ) => Promise<Required<Pick<MeshProxyDeps, 'proxy' | 'engine'>>>;
  readonly startStatic: (
    settings: StaticSettings,
    actions: ProcessActions,
    sockets: InheritedSockets | undefined,
  ) => Promise<RunningProcess>;
}

type Settings = Extract<Parsed, { settings: unknown }>;

/** What a shell adds to the number of a signal. */
const SIGNAL_EXIT: Readonly<Record<EndSignal, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/**
 * Runs until SIGTERM, SIGINT or `POST /quitquitquit`, then drains and exits 0; with a command until that ends, and exits with
 * its code. Anything that keeps it from starting is reported in one line each, exit code 1.
 */
export async function runProcess(deps: ProcessDeps): Promise<void> {
  const host = deps.runtime.process;
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
  // Neither workers nor the application get it.
  host.removeFromEnvironment('TULLE_JOIN_TOKEN');
  try {
    chooseOutput(host, parsed);
    await run(deps, parsed);
  } catch (error) {
    fail(deps.runtime, error);
  }
}

/** An application's standard output is its own. */
function chooseOutput(host: ProcessControl, parsed: Settings): void {
  const file = parsed.settings['log-file'];
  const command = commandOf(parsed);
  if (file === undefined && !command) return;
  try {
    host.redirectOutput(file);
  } catch (error) {
    throw new Error(`--log-file ${file}: ${(error as Error).message}`);
  }
}

async function run({ runtime, version, proxy, envoy, startStatic }: ProcessDeps, parsed: Settings): Promise<void> {
  const host = runtime.process;
  const command = commandOf(parsed);
  const sockets = takeSockets(host, parsed);
  const inheritedDescriptors = Object.values(sockets ?? {});
  let running: RunningProcess | undefined;
  let application: Application | undefined;
  let stopping = false;
  const stop = (code: number, replaced = false) => {
    stopping = true;
    running!.stop(replaced).then(
      () => host.exit(code),
      (error: unknown) => fail(runtime, error),
    );
  };
  const hotRestart = new HotRestart({
    host,
    sockets: sockets ?? {},
    obstacle: obstacleOf(host, parsed),
    running: () => running,
    replaced: () => stop(0, true),
  });
  const quit = (signal: EndSignal, code: number) => {
    hotRestart.cancel();
    if (application) application.kill(signal);
    // Before the start is over there is nothing to drain.
    else if (running) stop(code);
    else host.exit(code);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    host.onSignal(signal, () => quit(signal, command ? SIGNAL_EXIT[signal] : 0));
  if (command) host.onSignal('SIGHUP', () => quit('SIGHUP', SIGNAL_EXIT.SIGHUP));
  const actions: ProcessActions = { quit: () => quit('SIGTERM', 0), hotRestart: () => hotRestart.request() };
  const access = await httpProxyAccess(runtime, parsed);
  if (parsed.kind === 'static') running = await startStatic(parsed.settings, actions, sockets);
  else {
    const { settings } = parsed;
    const part = isEnvoy(parsed)
      ? await envoy(settings, parsed.command ?? [])
      : { proxy: proxy(settings, { httpProxy: access, sockets }) };
    const dnsDescriptors = descriptorsAt(sockets, CAPTURE_PORTS.dns);
    const deps = { runtime, version, settings, ...part, inheritedDescriptors, dnsDescriptors };
    running = await startMeshProxy(deps, actions);
  }
  await running.ready;
  // Config may come into force while the proxy drains: no application starts then.
  if (stopping) return;
  // What reading the config left behind would stay for as long as there is little to do.
  host.collectGarbage?.();
  host.releaseStartup?.();
  await takePlace(host);
  const httpProxyPort = parsed.kind === 'mesh' ? parsed.settings['http-proxy-port'] : undefined;
  if (parsed.settings.announce) {
    const { adminPort, outboundAddress, dnsPort } = running;
    const ports = running.ports();
    host.writeOut(JSON.stringify({ ready: true, adminPort, httpProxyPort, outboundAddress, dnsPort, ports }));
  }
  if (!command) {
    host.log(`${kindOf(parsed)} ready; admin port ${running.adminPort}`, 'info');
    return;
  }
  host.writeError(`tulle: sidecar ready; admin port ${running.adminPort}`);
  application = host.startApplication(
    command,
    applicationEnvironment(host.environment, running.outboundAddress, access && accessUrl(access)),
    inheritedDescriptors,
  );
  const stopWatching = watchOpenPorts(application, (line) => host.writeError(line));
  const { code, error } = await application.ended;
  stopWatching();
  if (error !== undefined) host.writeError(`tulle: ${error}`);
  application = undefined;
  // The application has ended: the sidecar sends its last responses, then stops.
  stop(code);
}

/**
 * Says that this process serves: to the service manager, then to the process that it replaces, which drains.
 * @throws Error where it replaces one and the service manager would not follow it
 */
async function takePlace({ succession, notifyReady, log }: ProcessControl): Promise<void> {
  const replaces = succession?.predecessor !== undefined;
  if (replaces) await succession?.closeUntaken();
  const notified = notifyReady?.();
  if (!replaces) {
    void notified?.then((problem) => problem && log(problem));
    return;
  }
  const problem = await notified;
  if (problem) throw new Error(problem);
  succession?.releasePredecessor();
}

/** Why another process cannot take over from this one; undefined: it can. */
function obstacleOf(host: ProcessControl, parsed: Settings): string | undefined {
  const instead = 'restart it instead';
  if (isEnvoy(parsed)) return `Envoy's sockets cannot be handed over: ${instead}`;
  if (parsed.command) return `its application would end with it: ${instead}`;
  return host.pid === 1 ? `it is the main process of its container: ${instead}` : undefined;
}

const isEnvoy = (parsed: Settings): boolean => parsed.kind === 'mesh' && parsed.settings['envoy-path'] !== undefined;

/** The application; undefined: there is none, as the words after `--` are those of Envoy. */
const commandOf = (parsed: Settings) => (isEnvoy(parsed) ? undefined : parsed.command);

/** @throws Error naming the variable or the flag: sockets and mode must go together */
function takeSockets(host: ProcessControl, parsed: Settings): InheritedSockets | undefined {
  const sockets = readInheritedSockets(host.environment, host.pid);
  for (const variable of SOCKET_VARIABLES) host.removeFromEnvironment(variable);
  if (parsed.kind === 'mesh') checkCapture(parsed.settings['interception-mode'], sockets);
  return sockets;
}

function kindOf(parsed: Settings): string {
  if (parsed.kind === 'static') return 'proxy';
  const kind = parsed.settings.type === 'router' ? 'gateway' : 'sidecar';
  return isEnvoy(parsed) ? `${kind} with Envoy` : kind;
}

/** @returns undefined where there is no HTTP proxy @throws Error naming the flag */
async function httpProxyAccess(runtime: Runtime, parsed: Settings): Promise<HttpProxyAccess | undefined> {
  if (parsed.kind === 'static') return undefined;
  const { 'http-proxy-port': port, 'http-proxy-secret-file': path } = parsed.settings;
  if (port === undefined) return undefined;
  if (path === undefined) return parsed.command ? newAccess(port) : { port };
  const secret = (await readText(runtime, path, '--http-proxy-secret-file')).trim();
  try {
    return accessWith(port, secret);
  } catch (error) {
    throw new Error(`--http-proxy-secret-file ${path}: ${(error as Error).message}`);
  }
}

function fail(runtime: Runtime, error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  runtime.process.writeError(`tulle proxy: ${message.replace(/\s*\n\s*/g, ' ')}`);
  return runtime.process.exit(1);
}
