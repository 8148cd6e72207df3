/** What a request does, as Kubernetes authorizes it (https://kubernetes.io/docs/reference/access-authn-authz/authorization/). */

export interface ResourceAttributes {
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `impersonate` … */
  readonly verb: string;
  /** '' for the core group. */
  readonly group: string;
  /** Plural name. */
  readonly resource: string;
  /** '' without one. */
  readonly subresource: string;
  /** '' for cluster-scoped kinds and for requests over all namespaces. */
  readonly namespace: string;
  /** '' for collections. */
  readonly name: string;
}

/** A path that is no resource's. */
export interface PathAttributes {
  /** The method in lower case. */
  readonly verb: string;
  readonly path: string;
}

export type Attributes = ResourceAttributes | PathAttributes;

export const isResource = (attributes: Attributes): attributes is ResourceAttributes => 'resource' in attributes;
