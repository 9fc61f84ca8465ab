/**
 * What Node's permission model (`--permission`, in Node 20 `--experimental-permission`) leaves to this process. Without it,
 * everything is allowed.
 *
 * Thread: any.
 */
interface Permission {
  has(scope: string): boolean;
}

const permission: Permission | undefined = (process as { readonly permission?: Permission }).permission;

/** Whether the model is on. */
export const IS_RESTRICTED: boolean = permission !== undefined;

/** Whether worker threads may be started. */
export const MAY_START_THREADS: boolean = permission === undefined || permission.has('worker');
