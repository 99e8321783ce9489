//! Users where there are few ids.

use oci_spec::runtime::User;

use super::UserError;
use crate::Powers;

/// Takes the groups from a user that nobody can have where there is one id alone, and refuses another user
/// than root there.
pub fn within(user: &mut User, powers: Powers) -> Result<(), UserError> {
    if powers != Powers::OneId {
        return Ok(());
    }
    user.set_additional_gids(None);
    match (user.uid(), user.gid()) {
        (0, 0) => Ok(()),
        (uid, gid) => Err(UserError::OneId { uid, gid }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_one_id_root_has_no_groups_and_nobody_else_is() {
        let user = |uid, gid| {
            let mut user = User::default();
            user.set_uid(uid).set_gid(gid).set_additional_gids(Some(vec![10]));
            user
        };
        let mut root = user(0, 0);
        within(&mut root, Powers::OneId).unwrap();
        assert_eq!(root.additional_gids(), &None);
        for (uid, gid) in [(1, 0), (0, 1)] {
            let refused = within(&mut user(uid, gid), Powers::OneId).unwrap_err().to_string();
            assert!(refused.contains(&format!("the user {uid}:{gid}")), "{refused}");
        }
        for powers in [Powers::Machine, Powers::Ranges] {
            let mut app = user(1000, 1000);
            within(&mut app, powers).unwrap();
            assert_eq!(app, user(1000, 1000));
        }
    }
}
