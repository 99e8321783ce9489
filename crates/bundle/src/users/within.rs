//! Users where there are few ids.

use oci_spec::runtime::User;

use crate::Powers;

/// Takes the groups from a user that nobody can have where there is one id alone. The user itself is had there
/// by the engine's giving that id another name.
pub fn within(user: &mut User, powers: Powers) {
    if powers == Powers::OneId {
        user.set_additional_gids(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_one_id_nobody_has_groups() {
        let user = || {
            let mut user = User::default();
            user.set_uid(1000).set_gid(1000).set_additional_gids(Some(vec![10]));
            user
        };
        for (powers, groups) in [
            (Powers::OneId, None),
            (Powers::Machine, Some(vec![10])),
            (Powers::Ranges, Some(vec![10])),
        ] {
            let mut one = user();
            within(&mut one, powers);
            assert_eq!((one.uid(), one.additional_gids()), (1000, &groups));
        }
    }
}
