/** A proxy started from a file, as a process of its own on a runtime. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { proxyCommand, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { Program } from './process.ts';

/** A proxy that is ready, Tulle's or Envoy. */
export interface RunningProxy extends Program {
  /** By the name of the listener. */
  readonly ports: Readonly<Record<string, number>>;
  readonly adminPort: number;
}

export class ProxyProcess extends Program implements RunningProxy {
  /** Set by `ready`. */
  ports: Record<string, number> = {};
  /** Set by `ready`. */
  adminPort = 0;

  /**
   * @param file where the configuration is written
   * @param config Envoy's bootstrap
   * @param flags besides `-c FILE --announce`
   * @param run the command that runs it on another host
   */
  constructor(
    runtime: RuntimeName,
    file: string,
    config: object,
    flags: readonly string[] = [],
    run: (command: readonly string[]) => string[] = (command) => [...command],
  ) {
    writeFileSync(file, JSON.stringify(config));
    super(`tulle (${runtime})`, run([...proxyCommand(runtime), '-c', file, '--announce', ...flags]), {
      keptLines: Number.POSITIVE_INFINITY,
    });
  }

  /** Resolves once every listener is bound. @throws with the output when the process ends first */
  async ready(): Promise<void> {
    Object.assign(this, await this.announcement());
  }

  /** What the admin endpoints answer. */
  async admin(path: string, method = 'GET'): Promise<{ status: number; body: string }> {
    const answer = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, { method });
    return { status: answer.status, body: await answer.text() };
  }

  /** The access log lines of one listener's stat prefix or cluster. */
  logged(cluster: string): Record<string, unknown>[] {
    return this.lines
      .filter((line) => line.startsWith('{"log"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['cluster'] === cluster);
  }
}

/**
 * Starts Tulle's proxy on a bootstrap; ready when this returns.
 * @param folder for the file
 * @param run the command that runs it on another host
 */
export async function startTulle(
  runtime: RuntimeName,
  bootstrap: object,
  folder: string,
  run?: (command: readonly string[]) => string[],
): Promise<ProxyProcess> {
  const proxy = new ProxyProcess(runtime, join(folder, `tulle-${runtime}.json`), bootstrap, [], run);
  await proxy.ready().catch(async (error: unknown) => {
    await proxy.stop('SIGKILL');
    throw error;
  });
  return proxy;
}
