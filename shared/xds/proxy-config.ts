/**
 * What a proxy process asks the control plane for before it runs anything: the part of its effective ProxyConfig
 * (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1, ProxyConfig) that a process takes at its start.
 * `POST /v1/proxy-config`.
 */
import * as z from 'zod';
import { Node } from './core.ts';
import { duration, messageRequiring } from './message.ts';

export const ProxyConfigRequest = messageRequiring({ node: Node }, ['node']);
export type ProxyConfigRequest = z.infer<typeof ProxyConfigRequest>;

/** Durations as proto3 JSON has them (`45s`). Fields this version does not know are left out: a newer control plane may tell more. */
export const ProxyConfigAnswer = z.object({
  /** Worker processes; 0: one for each core; absent: nobody has said. */
  concurrency: z.int().min(0).max(2147483647).optional(),
  /** How long connections of a listener that is gone may stay. */
  drainDuration: duration().optional(),
  /** How long connections may finish at shutdown. */
  terminationDrainDuration: duration().optional(),
});
export type ProxyConfigAnswer = z.infer<typeof ProxyConfigAnswer>;
