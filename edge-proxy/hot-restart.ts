/** Hot restart: another process of this program takes the listening sockets, and this one drains. */
import type { RunningProcess } from './mesh-proxy.ts';
import type { ProcessControl, Successor } from './runtime/runtime.ts';

/** In which a successor must be ready; systemd waits for 90 s (`TimeoutStartSec=`). */
const READY_LIMIT_MS = 80_000;

export interface HotRestartDeps {
  readonly host: Pick<ProcessControl, 'succession' | 'log'>;
  /** Sockets that this process inherited, by name. */
  readonly sockets: Readonly<Record<string, number>>;
  /** Why this process cannot be replaced; undefined: it can. */
  readonly obstacle: string | undefined;
  /** Undefined until it has started. */
  readonly running: () => RunningProcess | undefined;
  /** This process drains, and ends. */
  readonly replaced: () => void;
  readonly limitMs?: number;
}

export class HotRestart {
  private readonly deps: HotRestartDeps;
  private pending: Promise<string | undefined> | undefined;
  private successor: Successor | undefined;
  private taken: (() => void) | undefined;
  private isReplaced = false;

  constructor(deps: HotRestartDeps) {
    this.deps = deps;
    deps.host.succession?.onReplaced(() => this.taken?.());
  }

  /** Several callers share one attempt. @returns why this process stays; undefined: its successor serves, and it drains */
  request(): Promise<string | undefined> {
    if (this.isReplaced) return Promise.resolve('it was replaced already');
    this.pending ??= this.attempt()
      .catch((error: Error) => error.message)
      .then((reason) => {
        this.pending = undefined;
        if (reason !== undefined) this.deps.host.log(`hot restart: this process stays: ${reason}`, 'error');
        return reason;
      });
    return this.pending;
  }

  /** This process ends: so does a successor that is not ready. */
  cancel(): void {
    this.successor?.kill();
  }

  private async attempt(): Promise<string | undefined> {
    const { host, sockets, obstacle, running } = this.deps;
    if (obstacle !== undefined) return obstacle;
    if (!host.succession) return 'this runtime cannot hand sockets over: restart the proxy instead';
    const release = await running()?.holdFiles?.();
    const reason = await this.successorOf(() => host.succession!.start(sockets)).catch((error: Error) => error.message);
    if (reason !== undefined) release?.();
    return reason;
  }

  private async successorOf(start: () => Successor): Promise<string | undefined> {
    const { host, replaced, limitMs = READY_LIMIT_MS } = this.deps;
    const serves = new Promise<undefined>((resolve) => {
      this.taken = () => resolve(undefined);
    });
    const successor = start();
    this.successor = successor;
    host.log(`hot restart: process ${successor.pid} is to take over`, 'info');
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`it is not ready after ${limitMs / 1000} s`), limitMs);
    });
    const failed = successor.failed.then((reason) => `process ${successor.pid} did not take over: ${reason}`);
    const reason = await Promise.race([serves, failed, late]);
    clearTimeout(timer);
    this.taken = undefined;
    this.successor = undefined;
    if (reason !== undefined) {
      successor.kill();
      return reason;
    }
    host.log(`hot restart: process ${successor.pid} serves, this one drains`, 'info');
    this.isReplaced = true;
    replaced();
    return undefined;
  }
}
