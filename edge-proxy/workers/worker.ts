/** A worker process: carries traffic on its parent's commands. It ends with its parent. */
import type { ListeningAddress } from '../listener/own-listeners.ts';
import type { Channel } from '../runtime/runtime.ts';
import type { Want } from '../upstream/fetches.ts';
import { type Answer, type Command, type Numbered, READY, WANTED, type Wanted, type WorkerInit } from './messages.ts';

/** What a worker runs; made when its parent has sent the init message. */
export interface WorkerHandle {
  apply(changes: Extract<Command, { changes: unknown }>['changes']): Promise<Answer>;
  setSecrets(secrets: Extract<Command, { secrets: unknown }>['secrets'], principal: string): void;
  drain(ms: number): Promise<void>;
  drainListeners(options: { readonly graceful: boolean; readonly inboundOnly: boolean }): void;
  setHealthy(healthy: boolean): void;
  revokePeers(serials: readonly string[]): void;
  /** A listener of the parent process. */
  refuseConnectionsTo(listener: ListeningAddress): void;
  /** @param want is called with each resource that something begins to wait for */
  onWanted(want: Want): void;
  read(what: Extract<Command, { read: unknown }>['read']): Answer;
  close(): Promise<void>;
}

/** @param exit ends the process */
export function runWorker(
  parent: Channel,
  make: (init: WorkerInit) => WorkerHandle,
  exit: (code: number) => void,
): void {
  let parts: WorkerHandle | undefined;
  const obey = async (command: Command): Promise<Answer> => {
    if ('init' in command) {
      parts = make(command.init);
      parts.onWanted((type, name) => parent.send({ id: WANTED, body: { type, name } satisfies Wanted }));
      return undefined;
    }
    if (!parts) throw new Error('the worker has not received its init message');
    if ('changes' in command) return parts.apply(command.changes);
    if ('secrets' in command) parts.setSecrets(command.secrets, command.principal);
    else if ('drain' in command) await parts.drain(command.drain);
    else if ('drainListeners' in command) parts.drainListeners(command.drainListeners);
    else if ('healthy' in command) parts.setHealthy(command.healthy);
    else if ('revokePeers' in command) parts.revokePeers(command.revokePeers);
    else if ('refuseConnectionsTo' in command) parts.refuseConnectionsTo(command.refuseConnectionsTo);
    else if ('read' in command) return parts.read(command.read);
    else await parts.close();
    return undefined;
  };
  parent.onMessage((message) => {
    const { id, body } = message as Numbered<Command>;
    obey(body).then(
      (answer) => parent.send({ id, body: answer }),
      (error: unknown) => parent.send({ id, error: error instanceof Error ? error.message : String(error) }),
    );
  });
  parent.onClose(() => exit(0));
  // Some runtimes lose messages that arrive before a listener is set.
  parent.send({ id: READY });
}
