/** Cases whose feature belongs to a later part of Istio's API, and why. */
export const EXCUSED: Record<string, string> = {};
