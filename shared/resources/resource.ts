/** The Kubernetes object every resource is. */
export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  finalizers?: string[];
  ownerReferences?: {
    apiVersion: string;
    kind: string;
    name: string;
    uid: string;
    controller?: boolean;
    blockOwnerDeletion?: boolean;
  }[];
  managedFields?: unknown[];
}

export interface Resource<Spec = unknown> {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec?: Spec;
  status?: unknown;
}

/** One thing wrong with a resource. `path` as `spec.http[0].route[1].weight`; '' is the resource itself. */
export interface Violation {
  path: string;
  message: string;
  /** Stable name of the rule, as `unknown-field`, `required`, `virtualservice.weight-sum`. */
  rule: string;
}
