/** What the walkers over shared/reference/xds-fragments share. */

import type { Resource } from '../../../../shared/resources/resource.ts';
import type { Snapshot } from '../../../../shared/xds/discovery.ts';
import { buildView } from '../../../mesh/build-view.ts';
import { DEFAULT_SETTINGS, parseMeshConfig } from '../../../mesh/mesh-config.ts';
import type { MeshSettings } from '../../../mesh/view.ts';
import { compileNode } from '../../node/node.ts';

export type Json = Record<string, unknown>;

export interface Fragment<Input = unknown> {
  readonly id: string;
  readonly kind: string;
  readonly input: Input;
  readonly expected: unknown;
}

/** What Tulle makes of a case, and what is expected, both in one form. */
export interface Outcome {
  readonly made: unknown;
  readonly expected: unknown;
}

export type Judge<Input> = (fragment: Fragment<Input>) => Outcome;

export function settingsOf(meshConfig: object | undefined): MeshSettings {
  return meshConfig ? parseMeshConfig(JSON.stringify(meshConfig)) : DEFAULT_SETTINGS;
}

/** What a gateway of these labels runs. */
export function gatewaySnapshot(
  resources: readonly Resource[],
  { namespace = 'default', labels = {}, settings = DEFAULT_SETTINGS }: GatewayProxy = {},
): Snapshot {
  const node = {
    id: `router~1.1.1.1~gateway.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, LABELS: labels },
  };
  return compileNode(buildView(resources, 1, settings), node);
}

interface GatewayProxy {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly settings?: MeshSettings;
}
