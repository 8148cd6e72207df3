/**
 * What a proxy process requests from the control plane before it runs anything: the part of its effective ProxyConfig
 * (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1, ProxyConfig) that a process takes at its start.
 * `POST /v1/proxy-config`.
 */
import * as z from 'zod';
import { Node } from './core.ts';
import { duration, messageRequiring } from './message.ts';

export const ProxyConfigRequest = messageRequiring({ node: Node }, ['node']);
export type ProxyConfigRequest = z.infer<typeof ProxyConfigRequest>;

/** Durations as proto3 JSON has them (`45s`). Unknown fields are dropped: a newer control plane may send more. */
export const ProxyConfigAnswer = z.object({
  /** Worker processes; 0: one for each core; absent: not configured. */
  concurrency: z.int().min(0).max(2147483647).optional(),
  /** Downstream connections of the process; absent: no limit. */
  maxConnections: z.int().min(1).max(2147483647).optional(),
  /** How long connections of a removed listener stay open. */
  drainDuration: duration().optional(),
  /** How long connections may finish at shutdown. */
  terminationDrainDuration: duration().optional(),
});
export type ProxyConfigAnswer = z.infer<typeof ProxyConfigAnswer>;
