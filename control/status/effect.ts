/** The condition `Effective`: on how many of the proxies that a resource concerns its last change is in force, by their ACKs and NACKs. */

export const EFFECTIVE = 'Effective';

/** A proxy that refused what a change made for it. */
export interface RefusedBy {
  /** Node id. */
  readonly proxy: string;
  /** In the proxy's words, with the xDS resource before them. */
  readonly message: string;
}

/** How far the last change of a resource has come. */
export interface Effect {
  /** Generation of the resource that the change was of. */
  readonly generation: number;
  /** Connected proxies whose configuration became another one by the change. */
  readonly concerned: number;
  readonly effective: number;
  readonly refused: readonly RefusedBy[];
  /** Not every connected proxy has been looked at: `concerned` may grow. */
  readonly incomplete: boolean;
  /** Resources that were written together with this one, so that they are one change. */
  readonly together: number;
}

/** Refusals that a message shows. */
const SHOWN = 3;
const MAX_TEXT = 500;

export interface EffectCondition {
  readonly type: typeof EFFECTIVE;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: 'Effective' | 'NoProxyConcerned' | 'WaitingForProxies' | 'RefusedByProxies';
  readonly message: string;
  readonly observedGeneration: number;
}

export function effectCondition(effect: Effect): EffectCondition {
  const { generation: observedGeneration, concerned, effective, refused, incomplete } = effect;
  const made = (
    status: EffectCondition['status'],
    reason: EffectCondition['reason'],
    message: string,
  ): EffectCondition => ({ type: EFFECTIVE, status, reason, message, observedGeneration });
  const count = `effective on ${effective} of ${concerned} proxies`;
  if (refused.length > 0) return made('False', 'RefusedByProxies', `${count}; ${refusalText(effect)}`);
  const waiting = concerned - effective;
  if (incomplete || waiting > 0)
    return made(
      'Unknown',
      'WaitingForProxies',
      waiting > 0 ? `${count}; ${waiting} not acknowledged yet` : `${count} so far`,
    );
  if (concerned === 0) return made('True', 'NoProxyConcerned', 'no connected proxy is concerned');
  return made('True', 'Effective', count);
}

function refusalText({ refused, together }: Effect): string {
  const shown = refused
    .slice(0, SHOWN)
    .map(({ proxy, message }) => `refused by ${proxy}: ${message.slice(0, MAX_TEXT)}`);
  const more = refused.length > SHOWN ? [`and by ${refused.length - SHOWN} more`] : [];
  const others =
    together > 0 ? [`${together} more resources were written at the same time, and one of them may be the cause`] : [];
  return [...shown, ...more, ...others].join('; ');
}
