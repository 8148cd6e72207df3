/** Which revision of a resource is effective: between what the store holds and what the mesh is made of. */
import type { Resource } from '../../../shared/resources/resource.ts';

/** By `resourceId`; undefined: there is none. */
export type Revisions = ReadonlyMap<string, Resource | undefined>;

/** A resource of which some proxies have another revision now. */
export interface Moved {
  readonly resource: Resource;
  /** `written`, `deleted`: some proxies follow the store. `reverted`: proxies have the revision before again. */
  readonly how: 'written' | 'deleted' | 'reverted';
}

export interface GateStep {
  /** What becomes effective for every proxy. */
  readonly effective: Revisions;
  readonly moved: readonly Moved[];
}

export interface RevisionGate {
  /**
   * Called for each step of the mesh, also where nothing was written after `onDue`.
   * @param written what the store holds otherwise than what is effective, or than at the step before
   * @param effective what every proxy has before the step
   */
  step(written: Revisions, effective: ReadonlyMap<string, Resource>): GateStep;
  /** Set by the follower: asks for a step. */
  onDue: () => void;
}
