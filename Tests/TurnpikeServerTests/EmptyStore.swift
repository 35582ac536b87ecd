import Credentials
import Crypto

/// A store without users and secrets; a test overrides what it needs.
class EmptyStore: CredentialStore {
  func keys(realm: String, username: [UInt8]) throws(StoreError) -> UserKeys? { nil }
  func user(realm: String, userHash: Digest) throws(StoreError) -> (name: [UInt8], keys: UserKeys)? { nil }
  func secrets(realm: String) throws(StoreError) -> [[UInt8]] { [] }
  func hasUsersWithoutSHA256(realm: String) throws(StoreError) -> Bool { false }
  func changeToken() throws(StoreError) -> UInt64 { 1 }
  func isEmpty() throws(StoreError) -> Bool { true }
  func addUser(_ user: UserRecord) throws(StoreError) {}
  func setPassword(of user: UserRecord) throws(StoreError) {}
  func removeUser(realm: String, username: [UInt8]) throws(StoreError) {}
  func users(
    realm: String?, after: (realm: String, name: String)?, limit: Int
  ) throws(StoreError) -> [StoredUser] { [] }
  func addSecret(_ secret: [UInt8], realm: String) throws(StoreError) -> StoredSecret { throw .secretExists }
  func removeSecret(realm: String, id: UInt64) throws(StoreError) {}
  func listSecrets(realm: String?) throws(StoreError) -> [StoredSecret] { [] }
}
