/** What users decide about rollouts. */
import { type Phase, targetName } from './rollout.ts';
import type { Rollout, Rollouts } from './rollouts.ts';

export class RolloutError extends Error {
  override name = 'RolloutError';
  readonly code: 'not-found' | 'conflict';
  constructor(code: 'not-found' | 'conflict', message: string) {
    super(message);
    this.code = code;
  }
}

/** The rollout of a resource. @throws RolloutError not-found */
export function findRollout(rollouts: Pick<Rollouts, 'all'>, kind: string, namespace: string, name: string): Rollout {
  const found = rollouts.all().find((each) => each.kind === kind && each.namespace === namespace && each.name === name);
  if (found) return found;
  throw new RolloutError(
    'not-found',
    `no change of ${kind} ${namespace}/${name} is being rolled out: "tulle rollout status" lists those that are`,
  );
}

/** It stays at its step until it is promoted; what does harm is reverted all the same. @throws RolloutError conflict */
export function pause(rollouts: Pick<Rollouts, 'pause'>, rollout: Rollout, by: string): void {
  requirePhase(rollout, ['Progressing'], 'pause');
  rollouts.pause(rollout, `paused by ${by}`);
}

/**
 * To the next step, of a reverted one to the first.
 * @param isFull into force for every proxy at once
 * @throws RolloutError conflict
 */
export function promote(
  rollouts: Pick<Rollouts, 'isSettling' | 'promoteFully' | 'retry' | 'advance'>,
  rollout: Rollout,
  by: string,
  isFull: boolean,
): void {
  const reason = `promoted by ${by}`;
  if (isFull) {
    rollouts.promoteFully(rollout, reason);
    return;
  }
  requirePhase(rollout, ['Progressing', 'Paused', 'Reverted'], 'promote');
  if (rollouts.isSettling)
    throw new RolloutError(
      'conflict',
      'the control plane has just started and does not know all proxies yet: try again in a minute',
    );
  if (rollout.phase === 'Reverted') rollouts.retry(rollout, reason);
  else rollouts.advance(rollout, reason);
}

/** @throws RolloutError conflict */
export function undo(rollouts: Pick<Rollouts, 'revert'>, rollout: Rollout, by: string): void {
  requirePhase(rollout, ['Queued', 'Progressing', 'Paused'], 'undo');
  rollouts.revert(rollout, `undone by ${by}`);
}

function requirePhase(rollout: Rollout, phases: readonly Phase[], verb: string): void {
  if (phases.includes(rollout.phase)) return;
  throw new RolloutError(
    'conflict',
    `cannot ${verb} the rollout of ${targetName(rollout)}: it is ${rollout.phase.toLowerCase()}`,
  );
}
