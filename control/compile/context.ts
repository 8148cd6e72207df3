/** What every part of one compilation shares: the view, the proxy, and what could not be translated. */
import type { MeshView } from '../mesh/view.ts';
import type { Authorization } from './authorization.ts';
import type { DestinationRules } from './destination-rule.ts';
import { protoDuration } from './durations.ts';
import type { ProxyView } from './proxy.ts';
import type { Scope } from './scope.ts';

export interface CompileContext {
  readonly view: MeshView;
  readonly proxy: ProxyView;
  readonly scope: Scope;
  readonly rules: DestinationRules;
  /** What guards the proxy's port of that number; 0: every port that no workload serves. */
  readonly authorization: (port: number) => Authorization;
  /** Names what was left out, and why: shown by `tulle compile`, kept by discovery. */
  note(message: string): void;
}

/** How long a listener waits for a client's first bytes before it takes them for plain TCP (server-first protocols). */
export function detectionTimeout(ctx: CompileContext): string {
  return protoDuration(ctx.view.settings.config.protocolDetectionTimeout) ?? '0s';
}
