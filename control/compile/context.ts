/** What every part of one compilation shares: the view, the proxy, and what could not be translated. */
import type { MeshView } from '../mesh/view.ts';
import type { DestinationRules } from './destination-rule.ts';
import type { ProxyView } from './proxy.ts';
import type { Scope } from './scope.ts';

export interface CompileContext {
  readonly view: MeshView;
  readonly proxy: ProxyView;
  readonly scope: Scope;
  readonly rules: DestinationRules;
  /** Names what was left out, and why: shown by `tulle compile`, kept by discovery. */
  note(message: string): void;
}
