/** Runs the edge worker on workerd: bundle, configuration in a folder of its own, process, readiness. For the demo and tests. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workerdBinary } from '../../control/cli/runtimes.mjs';
import { workerdConfig } from '../../edge-proxy/runtime/worker/workerd-config.ts';
import type { LoopbackMesh } from '../local/mesh.ts';
import { freePorts } from '../local/ports.ts';
import { Program } from '../local/program.ts';
import { until } from '../local/until.ts';
import { bundleWorker } from './bundle.ts';

const JOIN_TOKEN = 'TULLE_JOIN_TOKEN';

export interface WorkerdOptions {
  controlPlaneUrl: string;
  /** The ingress gateway, `http://127.0.0.2:8080`. */
  gatewayUrl: string;
  /** PEM. */
  trustBundle: string;
  /** For `serviceAccount` in `namespace`; used once. */
  joinToken: string;
  serviceAccount: string;
  /** Default: default. */
  namespace?: string;
  /** Namespace of the gateway, to whose audience the tokens are bound. Default: `namespace`. */
  gatewayNamespace?: string;
  /** What a Gateway's selector sees. */
  labels?: Readonly<Record<string, string>>;
  /** Port of the Gateway server whose routes it runs; absent: everything is forwarded to the gateway. */
  routesOfPort?: number;
  /** Seconds that tokens for the gateway live. Default 900. */
  svidTtl?: number;
  /** Default `edge-worker`. */
  name?: string;
}

export interface Workerd {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly program: Program;
  stop(): Promise<void>;
  /** Removes its folder; `stop` does so too. */
  clean(): void;
}

/** A worker of a loopback mesh in front of the gateway at `gateway` (a URL); `mesh.stop` stops it too. */
export async function startWorker(
  mesh: LoopbackMesh,
  options: { gateway: string; serviceAccount: string } & Partial<WorkerdOptions>,
): Promise<Workerd> {
  const { gateway: gatewayUrl, ...more } = options;
  const joinToken = await mesh.joinToken(options.serviceAccount, options.namespace);
  const started = await startWorkerd({
    controlPlaneUrl: mesh.url,
    trustBundle: mesh.trustBundle,
    gatewayUrl,
    joinToken,
    ...more,
  });
  mesh.programs.add(started.program);
  void started.program.exited.then(() => {
    mesh.programs.delete(started.program);
    started.clean();
  });
  return started;
}

/** Resolves when `/.tulle/ready` answers 200. @throws with its output when workerd is missing, ends, or is not ready in 120 s */
export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const binary = workerdBinary();
  if (!binary) throw new Error('workerd is not installed: run "npm ci" in the checkout');
  const folder = mkdtempSync(join(tmpdir(), 'tulle-worker-'));
  try {
    const [port] = await freePorts(1);
    await bundleWorker(join(folder, 'worker.js'));
    const config = join(folder, 'config.capnp');
    writeFileSync(config, configOf(options, `127.0.0.1:${port}`), { mode: 0o600 });
    const name = `${options.name ?? 'edge-worker'} (workerd)`;
    // It keeps no state; on SIGTERM it would wait for its own long-poll to be answered.
    const program = new Program(name, [binary, 'serve', config], {
      env: { [JOIN_TOKEN]: options.joinToken },
      stopSignal: 'SIGKILL',
    });
    const clean = () => rmSync(folder, { recursive: true, force: true });
    const stop = async () => {
      await program.stop();
      clean();
    };
    const url = `http://127.0.0.1:${port}`;
    await ready(url, program).catch(async (error) => {
      await stop();
      throw error;
    });
    return { url, program, stop, clean };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function configOf(options: WorkerdOptions, listen: string): string {
  const { controlPlaneUrl, gatewayUrl, trustBundle, serviceAccount, namespace = 'default' } = options;
  return workerdConfig({
    listen,
    controlPlaneUrl,
    gatewayUrl,
    trustBundle,
    module: 'worker.js',
    texts: {
      CONTROL_PLANE_URL: controlPlaneUrl,
      AUDIENCE: `tulle-gateway.${options.gatewayNamespace ?? namespace}`,
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: serviceAccount,
      NAME: options.name ?? 'edge-worker',
      ADDRESS: '127.0.0.1',
      ROUTES: options.routesOfPort === undefined ? '' : `http.${options.routesOfPort}`,
      LABELS: JSON.stringify(options.labels ?? {}),
      SVID_TTL: String(options.svidTtl ?? 900),
    },
    secrets: { JOIN_TOKEN },
  });
}

async function ready(url: string, program: Program): Promise<void> {
  const answer = await until(`${program.name} is ready`, async () => {
    if (program.ended) return 'ended' as const;
    const response = await fetch(`${url}/.tulle/ready`);
    await response.text();
    return response.status === 200 && ('ready' as const);
  }).catch(({ message }: Error) => message);
  if (answer !== 'ready') throw program.failure(answer);
}
