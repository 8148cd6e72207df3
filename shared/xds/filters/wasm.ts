/** envoy.extensions.wasm.v3.PluginConfig, as the HTTP and the network filter have it. */
import type { z } from 'zod';
import { DataSource } from '../core.ts';
import {
  any,
  bool,
  duration,
  enumeration,
  list,
  map,
  message,
  messageRequiring,
  nonEmpty,
  string,
} from '../message.ts';

const RemoteDataSource = messageRequiring(
  {
    httpUri: messageRequiring({ uri: nonEmpty(), cluster: nonEmpty(), timeout: duration() }, ['uri', 'cluster']),
    sha256: nonEmpty(),
  },
  ['httpUri', 'sha256'],
);

const VmConfig = message({
  vmId: string(),
  runtime: string(),
  code: message({ local: DataSource, remote: RemoteDataSource }),
  environmentVariables: message({ hostEnvKeys: list(nonEmpty()), keyValues: map(string()) }),
});

export const PluginConfig = message({
  name: string(),
  rootId: string(),
  vmConfig: VmConfig,
  configuration: any({ 'google.protobuf.StringValue': message({ value: string() }) }),
  failOpen: bool(),
  failurePolicy: enumeration(['UNSPECIFIED', 'FAIL_RELOAD', 'FAIL_CLOSED', 'FAIL_OPEN']),
});
export type PluginConfig = z.infer<typeof PluginConfig>;

/** envoy.extensions.filters.http.wasm.v3.Wasm and envoy.extensions.filters.network.wasm.v3.Wasm */
export const Wasm = message({ config: PluginConfig });
export type Wasm = z.infer<typeof Wasm>;

/** Whether what passes a plugin that cannot run is refused. As in Envoy, `failurePolicy` counts before `failOpen`. */
export function failsClosed({ failurePolicy = 'UNSPECIFIED', failOpen = false }: PluginConfig): boolean {
  return failurePolicy === 'UNSPECIFIED' ? !failOpen : failurePolicy !== 'FAIL_OPEN';
}

/** Envoy's response code and connection termination details where a plugin fails closed. */
export const FAILED_CLOSED = 'wasm_fail_stream';
